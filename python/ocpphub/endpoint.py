"""Where and as whom a charge point connects, and how long it waits after a failure; pure but for the file of a key.

Owns the connection URL, HTTP Basic, the back-off policy and the names of failures. Must never open a connection, and
never let a key, a received text or a URL's query into a message.

Implements OCPP-J 1.6 3.1.1 and 6.2.2, errata 3.3, and the security white paper A00 and A01 as a client.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.exceptions import InvalidHandshake, InvalidStatus, NegotiationError

from ocpphub.errors import LocalError

PATH_CHARACTERS: Final = "!$&'()*+,;=:@"
"""What RFC 3986 lets a path segment hold besides the unreserved characters; some CSMSs never decode (J-105, X-04)."""
_KEY_TEXT: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){16,20}")


def connection_url(csms_url: str, identity: str) -> str:
    """The URL of the opening handshake: endpoint, one slash, the identity with as little encoding as RFC 3986 allows.

    A query of the endpoint stays behind the identity. Raises :class:`LocalError` for an endpoint with a fragment or
    credentials, and for an identity that no path segment can carry. Source: OCPP-J 1.6 3.1.1.
    """
    parts = urlsplit(csms_url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or "#" in csms_url or "@" in parts.netloc:
        raise LocalError("invalid_params", "csms_url must be ws://host or wss://host, without fragment and credentials")
    if identity in ("", ".", "..") or any(ord(character) < 32 or ord(character) == 127 for character in identity):
        raise LocalError("invalid_params", "the identity cannot be part of a URL")
    path = f"{parts.path.rstrip('/')}/{quote(identity, safe=PATH_CHARACTERS)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def is_loopback(host: str) -> bool:
    """Whether a host of a URL can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def is_literal(host: str) -> bool:
    """Whether a host of a URL is an IP address and no name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def basic_authorization(identity: str, key: bytes) -> str:
    """The Authorization header of profiles 1 and 2: the raw bytes of the key, never their hex text.

    Raises :class:`LocalError` for an identity with a colon, which would end the user name (RFC 2617 2).
    Source: OCPP-J 1.6 6.2.2; white paper A00.FR.204.
    """
    if ":" in identity:
        raise LocalError("invalid_params", 'an identity with ":" cannot use HTTP Basic')
    return f"Basic {b64encode(identity.encode() + b':' + key).decode()}"


def authorization_key(text: str) -> bytes:
    """The bytes of an AuthorizationKey: 32 to 40 hex digits (white paper A01.FR.02). The error never shows the text."""
    if not _KEY_TEXT.fullmatch(text.strip()):
        raise LocalError("invalid_params", "an AuthorizationKey is 32 to 40 hex digits, an even number")
    return bytes.fromhex(text.strip())


def read_authorization_key(path: Path) -> bytes:
    """The key in a file that only its owner may open. Raises :class:`LocalError` with the path, never the content."""
    try:
        if path.stat().st_mode & 0o077:
            raise LocalError("invalid_params", f"{path} is open to other users", hint=f"chmod 0600 {path}")
        text = path.read_text("ascii")
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        raise LocalError("invalid_params", text, hint="a file that this user may read") from None
    try:
        return authorization_key(text)
    except LocalError:
        raise LocalError(
            "invalid_params", f"{path} holds no AuthorizationKey", hint="32 to 40 hex digits, an even number"
        ) from None


class BackOff:
    """How long to wait before the next attempt (errata 3.3 names no formula; this one is of OCPP 2.0.1, J-341).

    Doubling from ``minimum_s`` with a fresh random part of up to ``range_s`` each time, never above ``maximum_s``. The
    random part is kept at the top as well, or a thousand charge points would return in the same second. ``random``
    gives numbers in [0, 1).
    """

    STABLE_S: Final = 60.0
    SHORT_S: Final = 10.0

    def __init__(
        self, random: Callable[[], float], *, minimum_s: float = 5.0, range_s: float = 10.0, maximum_s: float = 300.0
    ) -> None:
        self._random = random
        self._minimum_s = minimum_s
        self._range_s = range_s
        self._maximum_s = maximum_s
        self._base_s = minimum_s
        self.short = 0
        """How many connections in a row the peer ended within ``SHORT_S``: the mark of an identity in use twice."""

    def next_s(self, retry_after_s: float | None = None) -> float:
        """Seconds until the next attempt; a ``Retry-After`` lengthens them, up to the maximum."""
        wait_s = self._base_s + self._random() * self._range_s
        self._base_s = min(2 * self._base_s, self._maximum_s - self._range_s)
        return min(max(wait_s, retry_after_s or 0.0), self._maximum_s)

    def closed(self, uptime_s: float, *, accepted: bool) -> None:
        """A connection ended. Only a stable one starts the waits anew (J-342), or a charge point that was accepted and
        not thrown out at once, which is what happens when two use the same identity (N01)."""
        self.short = self.short + 1 if uptime_s < self.SHORT_S else 0
        if uptime_s >= self.STABLE_S or (accepted and not self.short):
            self._base_s = self._minimum_s


def retry_after_s(value: str | None, now_utc_s: float) -> float | None:
    """Seconds of a ``Retry-After`` header, which is a number or a date; ``None`` when it says nothing usable."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_utc_s)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection: a cause out of a closed list, a text without secrets, and the white paper's event.

    ``cause_key`` tells one cause of an event from another: the fingerprint of the certificate that was refused, where
    TLS let it be seen, else the alert, the reason or the status.
    """

    cause: str
    text: str
    security_event: str | None = None
    retry_after_s: float | None = None
    cause_key: str = ""
    is_outage: bool = False
    """Whether nobody was there who could have refused us: neither the name nor the network led to a CSMS."""


class SubprotocolError(Exception):
    """The CSMS agreed to a WebSocket but not to ``ocpp1.6`` (OCPP-J 1.6 3.2)."""


class ProfileError(Exception):
    """The security profile needs TLS and the endpoint has none (white paper A00.FR.003; S-102)."""


_VERSION_REASONS: Final = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"}
_CIPHER_REASONS: Final = {
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    "NO_SHARED_CIPHER",
    "WRONG_CIPHER_RETURNED",
    "DH_KEY_TOO_SMALL",
}
_CLIENT_REASONS: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
}


def failure(error: BaseException, *, profile: int, now_utc_s: float) -> Failure:
    """Name what went wrong with an attempt to connect. Source: white paper A00 and section 8; S-122, S-125, S-134."""
    for one in _chain(error):
        match one:
            case SubprotocolError():
                return Failure("subprotocol", "the CSMS did not agree to ocpp1.6")
            case InvalidStatus():
                return _status_failure(one, now_utc_s)
            case NegotiationError():
                return Failure("subprotocol", "the CSMS chose a subprotocol or extension that was not offered")
            case ProfileError():
                return Failure("profile", "the security profile needs wss://")
            case LocalError():
                return Failure("settings", str(one))
            case ssl.SSLCertVerificationError():
                return _certificate_failure(one)
            case ssl.SSLError():
                return _tls_failure(one, profile)
            case socket.gaierror():
                return Failure("name_resolution", "the name of the CSMS cannot be resolved", is_outage=True)
    match error:
        case TimeoutError():
            return Failure("timeout", "no connection in time", is_outage=True)
        case OSError():
            # A peer that ends the handshake without an alert may well mean our certificate (S-125).
            is_outage = not isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError)
            text = os.strerror(error.errno) if error.errno else "no connection"
            return Failure("network", text, is_outage=is_outage)
        case InvalidHandshake():
            return Failure("protocol", f"no WebSocket handshake: {type(error).__name__}")
    return Failure("unexpected", f"unexpected {type(error).__name__}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status_failure(error: InvalidStatus, now_utc_s: float) -> Failure:
    status = error.response.status_code
    text = f"HTTP status {status}"
    if status in (401, 403):
        return Failure("unauthorized", text, "FailedToAuthenticateAtCentralSystem", cause_key=str(status))
    if 300 <= status < 400:
        return Failure("redirect", f"{text}: redirects are not followed")
    values = error.response.headers.get_all("Retry-After")
    return Failure("status", text, retry_after_s=retry_after_s(values[0] if values else None, now_utc_s))


def _certificate_failure(error: ssl.SSLCertVerificationError) -> Failure:
    why = getattr(error, "verify_message", "") or str(error)
    text, fingerprint = f"certificate refused: {why}", getattr(error, "fingerprint", "")
    if fingerprint:
        text += f", SHA-256 {fingerprint}"
    return Failure("certificate", text, "InvalidCentralSystemCertificate", cause_key=fingerprint or why)


def _tls_failure(error: ssl.SSLError, profile: int) -> Failure:
    reason = error.reason or "UNKNOWN"
    if reason in _VERSION_REASONS:
        return Failure("tls_version", f"TLS: {reason}", "InvalidTLSVersion", cause_key=reason)
    # With a client certificate the same alert may mean that the CSMS refused it (S-125).
    if reason in _CLIENT_REASONS or (profile == 3 and reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"):
        return Failure("client_certificate", f"TLS: {reason}", "FailedToAuthenticateAtCentralSystem", cause_key=reason)
    if reason in _CIPHER_REASONS:
        return Failure("tls_cipher", f"TLS: {reason}", "InvalidTLSCipherSuite", cause_key=reason)
    return Failure("tls", f"TLS: {reason}")
