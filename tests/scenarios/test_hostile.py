"""Whatever arrives and in whatever order: no exception, one answer per command, one CALL in flight."""

from __future__ import annotations

import json
import random
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub.core.effects import Send
from ocpphub.errors import LocalError
from tests.builders import Csms, World

VECTORS = Path(__file__).parent.parent / "vectors" / "bad-frames.jsonl"
FRAMES = [
    row["frame"].encode()
    for row in map(json.loads, VECTORS.read_text(encoding="utf-8").splitlines())
    if "encoding" not in row and "expand" not in row
]


def mutated(frame: bytes, source: random.Random) -> bytes:
    data = bytearray(frame)
    for _ in range(source.randrange(4)):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(3)
        if kind == 0:
            data[at:at] = bytes([source.randrange(256)])
        elif kind == 1:
            del data[at : at + source.randrange(1, 8)]
        else:
            data[at : at + 1] = source.choice((b'"', b"[", b"}", b",", b"\\", b"0", b"\xff"))
    return bytes(data)


def test_ten_thousand_mutated_frames_leave_no_mark() -> None:
    """J-278, D-28: a good exchange before, between and after."""
    source = random.Random(1)  # noqa: S311  # a seed, not a secret
    world = World().boot().forget()
    for index in range(10_000):
        world.receive(mutated(source.choice(FRAMES), source), binary=source.random() < 0.1)
        if index % 500 == 0:
            world.advance(0)  # a Reset among them begins with BootNotification
            assert world.ask("GetConfiguration", {"key": ["NumberOfConnectors"]})
            world.forget()
    assert world.advance(600).actions
    assert world.core.accepting_frames
    assert world.core._outbox.pending == {}


_STEPS = st.lists(
    st.sampled_from(
        ["stop", "restart", "transfer", "event", "connect", "drop", "second", "minute", "hour", "silence", "talk",
         "trigger", "reject", "accept", "error", "clock"]
    ),
    max_size=50,
)  # fmt: skip


def take(step: str, world: World) -> int | None:
    """One step of the weather; the request number if it was a command."""
    csms = world.csms
    match step:
        case "stop" | "restart":
            return world.command(step)
        case "transfer":
            return world.command("data_transfer", "v", None, None)
        case "event":
            return world.command("security_event", "T", None)
        case "connect" if not world.core.is_connected:
            world.connect()
        case "drop":
            world.disconnect()
        case "second" | "minute" | "hour":
            world.advance({"second": 1, "minute": 60, "hour": 3_600}[step])
        case "silence":
            csms.silent.update(("DataTransfer", "BootNotification", "StatusNotification", "SecurityEventNotification"))
        case "talk":
            csms.silent.clear()
            csms.errors.clear()
        case "trigger":
            world.receive([2, f"t{world.time_s}", "TriggerMessage", {"requestedMessage": "StatusNotification"}])
        case "reject" | "accept":
            csms.registration = {"reject": "Pending", "accept": "Accepted"}[step]
        case "error":
            csms.errors["DataTransfer"] = "SecurityError"
        case "clock":
            csms.offset_ms += 7_000
    return None


@given(_STEPS)
@settings(max_examples=250, deadline=None)
def test_any_order_of_commands_and_weather_answers_every_command_once(steps: list[str]) -> None:
    """J-233, J-278, CORE-RPC-05, CORE-BOOT-02: and the first CALL of a registration is always BootNotification."""
    world = World(csms=Csms(interval_s=120)).start()
    requests = []
    for step in [*steps, "talk", "accept", "drop", "restart", "connect", "hour", "hour"]:
        try:
            request = take(step, world)
        except LocalError as error:
            assert error.code == "invalid_state"  # noqa: PT017  # nothing else may be refused here
            continue
        if request is not None:
            requests.append(request)
        assert len(world.core._outbox.pending) <= 1
    assert sorted(world.replies) == sorted(requests)
    assert world.core.state(world.now)["registration"] == "Accepted"
    assert world.core.state(world.now)["queue"]["messages"] == 0
    sent = [orjson.loads(effect.frame) for effect in world.effects if isinstance(effect, Send)]
    assert next(frame[2] for frame in sent if frame[0] == 2) == "BootNotification"
