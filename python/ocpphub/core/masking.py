"""Frames as text for the topic ``ocpp.message``, with secrets and id tags masked (style.md "Limits and logging").

Owns what may be shown of a frame. Must never show a frame that it cannot read and that might hold a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from orjson import dumps

from ocpphub.core.effects import Effect, Publish, Send

MASK: Final = "***"
MAX_SHOWN: Final = 65_536
# Linear in any text (J-279), and a string that the cut leaves open is hidden to its end.
_STRING: Final = r'"(?:[^"\\]++|\\(?:.|\Z))*+("|\Z)'
_ID_TAG: Final = re.compile(rf'("(?:idTag|parentIdTag)"\s*+:\s*+){_STRING}', re.S)
_VALUE: Final = re.compile(rf'("value"\s*+:\s*+){_STRING}', re.S)
_ESCAPED_ASCII: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])")


def masked(frame: bytes, *, is_valid: bool = True) -> str:
    """The text of a frame, cut to 65,536 characters.

    Every ``value`` of a frame about an AuthorizationKey is masked, also when its name is cut off; a refused frame
    (``is_valid`` false) that could spell that name in another way is not shown at all.
    """
    text = frame.decode("utf-8", "replace")
    lowered = text.lower()
    text = text[:MAX_SHOWN]
    is_escaped = "\\u" in lowered
    if not is_valid and (is_escaped or "configuration" in lowered):
        return f"{MASK} (refused frame of {len(frame)} bytes)"
    if is_escaped:
        # A peer may spell a name in escapes; nobody else escapes plain ASCII.
        text = _ESCAPED_ASCII.sub(_unescaped, text)
    if is_escaped or "authorizationkey" in lowered:
        text = _VALUE.sub(rf'\1"{MASK}\2', text)
    return _ID_TAG.sub(rf'\1"{MASK}\2', text) if is_escaped or "dtag" in lowered else text


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return match[0] if character in '"\\\x7f' else character


def traced(effects: Iterable[Effect]) -> list[Effect]:
    """The effects with one publication on ``ocpp.message`` behind each ``Send``."""
    result: list[Effect] = []
    for effect in effects:
        result.append(effect)
        if isinstance(effect, Send):
            result.append(message("sent", effect.frame))
    return result


def message(direction: str, frame: bytes, *, is_valid: bool = True) -> Publish:
    """The publication of one frame (rpc.md, topic ``ocpp.message``)."""
    return Publish("ocpp.message", dumps({"direction": direction, "frame": masked(frame, is_valid=is_valid)}))
