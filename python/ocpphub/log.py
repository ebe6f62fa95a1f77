"""Log records: the charge point on each of them, secrets and id tags masked, one line of text or JSON.

Owns what leaves the process through the log. Loggers: ``ocpphub.core``, ``.csms``, ``.rpc``, ``.store``, ``.daemon``;
levels are a contract: ERROR a bug or lost data, WARNING a peer broke the standard or a limit was reached, INFO
lifecycle, DEBUG frames with ``>`` and ``<``. Must never write received text unescaped, a key, a certificate or an id
tag (security white paper A01.FR.12; OCPP-J 1.6 errata 3.10).
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from hashlib import blake2s
from typing import Final, TextIO

MASK: Final = "***"
MAX_FRAME: Final = 4096
"""Characters of a frame that a record shows."""
_charge_point: ContextVar[str] = ContextVar("charge_point", default="-")
_hidden: set[str] = set()
# Equal tags stay recognisable within one run of the process and are unlinkable between two.
_TAG_KEY: Final = secrets.token_bytes(16)

# Linear in any text, also a hostile one (J-279): each pattern begins with literal text, what follows it cannot run past
# the next place where the pattern could begin, and what was taken is not given back (the "++" and "*+").
# A frame that was refused may end inside a string, or hold something else where a text belongs.
_STRING: Final = r'"(?:[^"\\]++|\\(?:.|\Z))*+(?:"|\Z)'
_ID_TAG: Final = re.compile(rf'("(?:idTag|parentIdTag|id_tag|parent_id_tag)"\s*+:\s*+)({_STRING})', re.S)
_SECRET_MEMBER: Final = re.compile(
    rf'("(?:authorizationKey|authorization_key|password|certificateChain|certificate|csr)"\s*+:\s*+)({_STRING})',
    re.I | re.S,
)
_VALUE_MEMBER: Final = re.compile(rf'("value"\s*+:\s*+)({_STRING}|[^\s,}}\]]++)', re.S)
_ESCAPED_ASCII: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])")
_HEADER: Final = re.compile(r"(authorization['\"]?\s*+[:=,]\s*+['\"]?)(?:(basic|bearer)\s++)?[^\s'\",]++", re.I)
_USER_INFO: Final = re.compile(r"://[^/\s@]++@")
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]++-----.*?(?:-----END [A-Z0-9 ]++-----|\Z)", re.S)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def mask(text: str) -> str:
    """The text without keys, certificates, URL passwords and id tags; an id tag becomes a short keyed hash."""
    if "\\u00" in text:
        # A peer may spell a name in escapes; nobody else escapes plain ASCII.
        text = _ESCAPED_ASCII.sub(_unescaped, text)
    for secret in _hidden:
        text = text.replace(secret, MASK)
    text = _PEM.sub("[PEM]", text)
    text = _USER_INFO.sub(f"://{MASK}@", text)
    lowered = text.lower()
    if "authorization" in lowered:
        text = _HEADER.sub(lambda match: f"{match[1]}{match[2] + ' ' if match[2] else ''}{MASK}", text)
    if "authorizationkey" in lowered:
        # ChangeConfiguration carries key and value as two members, in either order.
        text = _VALUE_MEMBER.sub(rf'\1"{MASK}"', text)
    text = _SECRET_MEMBER.sub(rf'\1"{MASK}"', text)
    return _ID_TAG.sub(lambda match: f'{match[1]}"{mask_tag(match[2][1:-1])}"', text)


def frame(data: bytes) -> str:
    """A frame as text for a record, which masks it: its first 4,096 characters, behind its length when that is not all.

    No part of a secret is left at the cut, nor a value whose key is cut off.
    """
    text = data.decode(errors="replace")
    if len(text) <= MAX_FRAME:
        return text
    cut = MAX_FRAME
    for secret in _hidden:
        at = text.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
        cut = at if at >= 0 else cut
    shown, rest = text[:cut], text[max(0, cut - len("authorizationkey") * len("\\u0041")) :]
    if "\\u" in rest or "authorizationkey" in rest.lower():
        shown = _VALUE_MEMBER.sub(rf'\1"{MASK}"', _ESCAPED_ASCII.sub(_unescaped, shown))
    return f"({len(data)} bytes) {shown}"  # behind it, the mask of an open string would take the note


def mask_tag(id_tag: str) -> str:
    """``#`` and eight hex digits that stand for an id tag in this run of the process, whatever its case."""
    return "#" + blake2s(id_tag.lower().encode(), key=_TAG_KEY, digest_size=4).hexdigest()


def hide(secret: str) -> None:
    """Mask this text, also in upper and lower case, from now on; shorter than 8 characters is not worth hiding."""
    if len(secret) >= 8:
        _hidden.update((secret, secret.lower(), secret.upper()))


@contextmanager
def charge_point(identity: str) -> Iterator[None]:
    """Every record made inside carries this charge point."""
    token = _charge_point.set(identity)
    try:
        yield
    finally:
        _charge_point.reset(token)


def context(identity: str) -> Context:
    """A context whose records carry ``identity``; its ``run`` costs less than :func:`charge_point`."""
    inside = copy_context()
    inside.run(_charge_point.set, identity)
    return inside


def for_charge_point(name: str, identity: str) -> logging.LoggerAdapter[logging.Logger]:
    """A logger whose records carry this charge point, for code that belongs to one."""
    return logging.LoggerAdapter(logging.getLogger(name), {"charge_point": identity})


def setup(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every record to ``stream`` (standard error) as text or JSON; those of ``ocpphub`` from ``level`` on.

    ``level`` is ``error``, ``warning``, ``info`` or ``debug``. Libraries are heard from WARNING on, in the same form,
    so that their words are masked too; Python's warnings come the same way.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, logging.StreamHandler) and isinstance(old.formatter, (TextFormatter, JsonFormatter)):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("ocpphub").setLevel(level.upper())
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """``2026-11-21T08:00:00.000Z INFO ocpphub.csms [HUB-1] connected``; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, masked and without control characters."""
        head = f"{_timestamp(record)} {record.levelname} {record.name} [{_identity(record)}] {_message(record)}"
        trace = _traceback(self, record)
        return f"{head}\n{trace}" if trace else head


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, charge_point, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, masked."""
        fields = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "charge_point": _identity(record),
            "message": _message(record),
        }
        if trace := _traceback(self, record):
            fields["exception"] = trace
        return json.dumps(fields, ensure_ascii=False)


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return match[0] if character in '"\\\x7f' else character


def utc_text(utc_ms: int) -> str:
    """A moment as records show it: RFC 3339 in UTC with milliseconds, so that texts compare as moments do."""
    at = datetime.fromtimestamp(utc_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _identity(record: logging.LogRecord) -> str:
    return _escaped(str(getattr(record, "charge_point", None) or _charge_point.get()))


def _message(record: logging.LogRecord) -> str:
    text: str | None = record.__dict__.get("masked")
    if text is None:  # several handlers share a record
        text = record.__dict__["masked"] = _escaped(mask(record.getMessage()))
    return text


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = formatter.formatException(record.exc_info) if record.exc_info else ""
    return "\n".join(_escaped(line) for line in mask(text).splitlines())


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
