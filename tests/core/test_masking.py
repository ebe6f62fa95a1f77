"""Frames as text, without secrets."""

from __future__ import annotations

import time

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


@pytest.mark.parametrize(
    "frame",
    [
        b'[2,"a","Change\\u0043onfiguration",{"key":"\\u0041uthorizationKey","\\u0076alue":"CANARY"}]',
        b'[2,"a","RemoteStartTransaction",{"id\\u0054ag":"CANARY"}]',
        b'[2,"a","ChangeConfiguration",{"value":"CANARY","x":"' + b"x" * MAX_SHOWN + b'","key":"AuthorizationKey"}]',
        b'["' + b"x" * (MAX_SHOWN - 16) + b'","idTag":"CANARYCANARYCANARY"]',
    ],
    ids=["escaped names", "escaped tag", "the name is cut off", "the tag is cut through"],
)
def test_masked_valid_frame_hides_secrets_however_it_is_written(frame: bytes) -> None:
    """T30, S-157."""
    assert "CANARY" not in masked(frame)


SHAPES = {
    "one word": ("[", "x"),
    "configuration": ("configuration authorizationkey", "x"),
    "string without an end": ('"idTag":"', "x"),
    "key without an end": ('configuration authorizationkey "value":"', "x"),
    "member after member": ('configuration authorizationkey "value":"', '"value":"\\'),
    "tag after tag": ("", '"idTag":"\\'),
    "backslashes": ('"idTag":"', "\\\n"),
    "quotes": ('"idTag":"', '\\"'),
    "name and blanks": ('"idTag"', " "),
    "value of blanks": ('"idTag":', " "),
    "name after name": ("", '"parentIdTag"'),
    "escapes": ('"', "\\u0041"),
    "half escapes": ('"\\u00', "\\u00"),
}


@pytest.mark.parametrize(("head", "unit"), SHAPES.values(), ids=SHAPES)
def test_masked_frame_of_any_shape_takes_linear_time(monkeypatch: pytest.MonkeyPatch, head: str, unit: str) -> None:
    """J-279: time per byte, short against long, also without the limit that cuts what is shown."""
    monkeypatch.setattr("ocpphub.core.masking.MAX_SHOWN", 1 << 20)
    short, long = (seconds((head + unit * (size // len(unit))).encode()) / size for size in (1 << 14, 1 << 18))
    assert long <= 3 * short + 1e-9


def seconds(frame: bytes) -> float:
    """The least processor time of some repetitions, which what else runs on this machine disturbs least."""
    times = []
    for _ in range(5 if len(frame) > 1 << 16 else 20):
        start = time.process_time()
        masked(frame)
        times.append(time.process_time() - start)
    return min(times)


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
