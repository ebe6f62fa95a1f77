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
_ID_TAG: Final = re.compile(r'("(?:idTag|parentIdTag)"\s*:\s*")(?:[^"\\]|\\.)*(")')
_VALUE: Final = re.compile(r'("value"\s*:\s*")(?:[^"\\]|\\.)*(")')


def masked(frame: bytes, *, is_valid: bool = True) -> str:
    """The text of a frame, cut to 65,536 characters.

    Every ``value`` of a frame about an AuthorizationKey is masked; a refused frame (``is_valid`` false) that could
    spell that name in another way is not shown at all.
    """
    text = frame[: MAX_SHOWN * 4].decode("utf-8", "replace")[:MAX_SHOWN]
    lowered = text.lower()
    if "configuration" in lowered:
        if not is_valid:
            return f"{MASK} (refused frame of {len(frame)} bytes)"
        if "authorizationkey" in lowered or "\\u" in lowered:
            text = _VALUE.sub(rf"\1{MASK}\2", text)
    elif not is_valid and "\\u" in lowered:
        return f"{MASK} (refused frame of {len(frame)} bytes)"
    return _ID_TAG.sub(rf"\1{MASK}\2", text) if "dtag" in lowered else text


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
