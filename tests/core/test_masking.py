"""Frames as text, without secrets."""

from __future__ import annotations

import pytest

from ocpphub.core.masking import MAX_SHOWN, masked
from tests.builders import World

SECRET = "5ec7e7" * 6


@pytest.mark.parametrize(
    "frame",
    [
        f'[2,"a","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{SECRET}"}}]',
        f'[2,"a","ChangeConfiguration",{{"value" : "{SECRET}","key":"authorizationkey"}}]',
        f'[2,"a","ChangeConfiguration",{{"key":"\\u0041uthorizationKey","value":"{SECRET}"}}]',
    ],
)
def test_masked_valid_frame_hides_the_key_and_shows_the_rest(frame: str) -> None:
    """S-157, T30."""
    text = masked(frame.encode())
    assert SECRET not in text
    assert "ChangeConfiguration" in text


@pytest.mark.parametrize(
    "frame",
    [
        f'[2,"a","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{SECRET}"',
        f'[2,"a","Change\\u0043onfig",{{"key":"\\u0041uthorizationKey","\\u0076alue":"{SECRET}"}}',
    ],
)
def test_masked_refused_frame_that_may_hold_a_key_is_not_shown(frame: str) -> None:
    """T30."""
    assert SECRET not in masked(frame.encode(), is_valid=False)


def test_masked_id_tags_are_hidden() -> None:
    """T30: style.md, id tags are masked everywhere."""
    text = masked(b'[2,"a","RemoteStartTransaction",{"idTag":"DEADBEEF\\"X","connectorId":1}]')
    assert "DEADBEEF" not in text
    assert '"connectorId":1' in text
    assert "G1" not in masked(b'[3,"a",{"idTagInfo":{"status":"Accepted","parentIdTag": "G1"}}]')


def test_masked_other_frames_are_shown_as_they_are() -> None:
    """D-26."""
    assert masked('[3,"ä",{}]'.encode()) == '[3,"ä",{}]'
    assert len(masked(b"x" * (MAX_SHOWN + 100))) == MAX_SHOWN
    assert masked(b"\xff") == "\ufffd"


def test_frames_are_published_while_somebody_listens() -> None:
    """T30: topic ``ocpp.message``, both directions, behind the frame itself."""
    world = World().boot().forget()
    world.ask("ClearCache")
    assert world.published("ocpp.message") == []
    world.core.traces_frames = True
    world.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": SECRET})
    directions = [value["direction"] for value in world.published("ocpp.message")]
    assert directions == ["received", "sent"]
    assert SECRET not in str(world.published("ocpp.message"))
