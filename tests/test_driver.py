"""The driver on a scripted core: order of outputs, output commit, group commit, timers, questions, back-pressure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest

from ocpphub.core.credentials import Access
from ocpphub.core.effects import (
    Abandon,
    Ask,
    Connect,
    Discard,
    Disconnect,
    Effect,
    Ping,
    Publish,
    Record,
    Recreate,
    Reply,
    Send,
    Store,
    Work,
)
from ocpphub.core.instant import Instant
from ocpphub.driver import FIFO_LIMIT, STUCK_S, Answer, Driver
from ocpphub.errors import LocalError, UnavailableError
from ocpphub.store.memory import MemoryStore
from tests.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from ocpphub.core.charge_point import ChargePoint


class ScriptedCore:
    """A core double: the test scripts which effects the next inputs have."""

    def __init__(self, identity: str = "CP1") -> None:
        self.identity = identity
        self.inputs: list[tuple[object, ...]] = []
        self.script: deque[list[Effect]] = deque()
        self.effects: list[Effect] = []
        self.deadline: float | None = None
        self.accepting_frames = True
        self.raises: Exception | None = None
        self.returns: object = None

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("_"):
            raise AttributeError(name)

        def take(*args: object) -> object:
            self.inputs.append((name, *(arg for arg in args if not isinstance(arg, Instant))))
            if self.raises is not None:
                raise self.raises
            self.effects += self.script.popleft() if self.script else []
            return self.returns

        return take

    def poll_effects(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    def next_deadline(self) -> float | None:
        return self.deadline


class Bench:
    """A driver with doubles around it; ``left`` is everything that came out, in order."""

    def __init__(self, *, auto_sync: bool = False) -> None:
        self.left: list[object] = []
        self.answers: list[Answer] = []
        self.fatal: list[BaseException] = []
        self.recreated: list[str] = []
        self.loop = VirtualLoop()
        self.store = MemoryStore(auto_sync=auto_sync)
        self.driver = Driver(
            self.store,
            lambda: Instant(self.loop.now_s, 0),
            on_publish=lambda identity, effect: self.left.append((identity, effect.topic)),
            on_ask=lambda identity, effect, answer: self.answers.append(answer),
            outside=self,
            on_recreate=self.recreated.append,
            on_fatal=self.fatal.append,
            loop=cast(asyncio.AbstractEventLoop, self.loop),
        )
        self.core = self.add("CP1")

    def add(self, identity: str) -> ScriptedCore:
        core = ScriptedCore(identity)
        self.driver.add(cast("ChargePoint", core), RecordingLink(self.left))
        return core

    def work(self, identity: str, work: Work, answer: Answer) -> None:
        self.answers.append(answer)
        self.left.append(("work", work.method))

    def abandon(self, identity: str, number: int) -> None:
        self.left.append(("abandon", number))

    def record(self, identity: str, record: Record) -> None:
        self.left.append(("record", record.kind))

    def input(self, *effects: Effect, identity: str = "CP1") -> None:
        """One mutation with these effects."""
        self.driver.apply(identity, lambda core, now: cast(Any, core).effects.extend(effects))

    def reply(self, name: str) -> Answer:
        return lambda result, error: self.left.append((name, result, error))


class RecordingLink:
    """A link that only writes down what it is told."""

    def __init__(self, left: list[object]) -> None:
        self.left = left

    def connect(self, headers: dict[str, str]) -> None:
        self.left.append(("connect", headers))

    def disconnect(self, code: int, reason: str, stay_closed: bool) -> None:
        self.left.append(("disconnect", code, reason, stay_closed))

    def send(self, frame: bytes) -> None:
        self.left.append(frame)

    def set_ping_interval(self, interval_s: int) -> None:
        self.left.append(("ping", interval_s))

    def pause(self) -> None:
        self.left.append("pause")

    def resume(self) -> None:
        self.left.append("resume")

    async def wait_closed(self) -> None:
        self.left.append("wait_closed")


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.driver.connected("CP1")
    return made


def row(key: str = "k") -> Store:
    return Store("outbox", key, b"1")


def test_driver_without_writes_lets_every_effect_leave_at_once_and_in_order(bench: Bench) -> None:
    bench.input(
        Send(b"1"), Publish("t", b"1"), Connect({"a": "b"}), Ping(5), Disconnect(1007, "text", True), Send(b"2")
    )
    expected = [b"1", ("CP1", "t"), ("connect", {"a": "b"}), ("ping", 5), ("disconnect", 1007, "text", True), b"2"]
    assert bench.left == expected


def test_driver_holds_back_what_follows_a_write_until_it_is_durable(bench: Bench) -> None:
    """D1, D6, reliability 4.3.1."""
    bench.input(Send(b"before"), row(), Send(b"after"), Publish("t", b"1"), Discard("outbox", "old"), Send(b"last"))
    bench.loop.turn()
    assert bench.left == [b"before"]
    assert [(write.key, write.value) for write in bench.store.commits[0]] == [("k", b"1"), ("old", None)]
    bench.store.sync()
    assert bench.left == [b"before", b"after", ("CP1", "t"), b"last"]


def test_driver_lets_later_inputs_of_the_charge_point_wait_behind_a_write(bench: Bench) -> None:
    bench.input(row(), Send(b"1"))
    bench.input(Send(b"2"))
    bench.loop.turn()
    assert bench.left == []
    bench.store.sync()
    assert bench.left == [b"1", b"2"]


def test_driver_lets_other_charge_points_pass_a_write(bench: Bench) -> None:
    bench.add("CP2")
    bench.input(row(), Publish("held", b"1"))
    bench.input(Publish("free", b"1"), identity="CP2")
    assert bench.left == [("CP2", "free")]


def test_driver_shares_one_commit_between_the_inputs_of_a_loop_turn(bench: Bench) -> None:
    """P5: group commit without a timer."""
    for key in "abc":
        bench.input(row(key))
    bench.loop.turn()
    assert [[write.key for write in batch] for batch in bench.store.commits] == [["a", "b", "c"]]


def test_driver_gathers_for_the_next_commit_while_one_is_under_way(bench: Bench) -> None:
    bench.input(row("a"), Send(b"a"))
    bench.loop.turn()
    bench.input(row("b"), Send(b"b"))
    bench.input(row("c"), Send(b"c"))
    bench.loop.turn()
    assert bench.store.unsynced == 1
    bench.store.sync()
    assert bench.left == [b"a"]
    assert [[write.key for write in batch] for batch in bench.store.commits] == [["a"], ["b", "c"]]
    bench.store.sync()
    assert bench.left == [b"a", b"b", b"c"]


def test_driver_whose_commit_failed_is_fatal_and_lets_nothing_leave(bench: Bench) -> None:
    """Reliability 4.3.7."""
    error = OSError("no space")
    bench.input(row(), Send(b"1"), Reply(1, True))
    bench.loop.turn()
    bench.store.fail(error)
    bench.driver.receive("CP1", b"[]", False)
    with pytest.raises(UnavailableError):
        bench.input(Send(b"2"))
    assert bench.fatal == [error]
    assert bench.left == []
    assert [name for name, *_ in bench.core.inputs] == ["connected"]


def test_driver_whose_store_raises_treats_it_as_a_failed_commit(bench: Bench) -> None:
    bench.input(Store("nowhere", "k", b"1"), Send(b"1"))
    bench.loop.turn()
    assert [type(error) for error in bench.fatal] == [ValueError]
    assert bench.left == []


def test_driver_complains_of_a_commit_that_is_stuck_and_of_no_other(bench: Bench) -> None:
    """Reliability N21: what the watchdog asks."""
    bench.loop.pass_time(STUCK_S + 1)
    assert bench.driver.complaint() is None, "an idle store is no stuck one"
    bench.input(row())
    bench.loop.turn()
    bench.loop.pass_time(STUCK_S)
    assert bench.driver.complaint() is None
    bench.loop.pass_time(1)
    assert bench.driver.complaint() == "a commit has been under way for 31 s"

    bench.store.sync()

    assert bench.driver.complaint() is None


def test_driver_complains_of_a_failed_commit(bench: Bench) -> None:
    bench.input(row())
    bench.loop.turn()
    bench.store.fail(OSError("I/O error"))
    assert bench.driver.complaint() == "a commit failed"


def test_driver_with_a_store_that_is_done_at_once_needs_no_second_turn() -> None:
    bench = Bench(auto_sync=True)
    bench.driver.connected("CP1")
    bench.input(row(), Send(b"1"))
    bench.loop.turn()
    assert bench.left == [b"1"]


def test_driver_drops_frames_of_a_connection_that_is_gone(bench: Bench) -> None:
    bench.input(row(), Send(b"old"), Publish("t", b"1"))
    bench.driver.disconnected("CP1")
    bench.driver.connected("CP1")
    bench.input(Send(b"new"))
    bench.loop.turn()
    bench.store.sync()
    assert bench.left == [("CP1", "t"), b"new"]


def test_driver_drops_frames_made_while_there_is_no_connection(bench: Bench) -> None:
    bench.driver.disconnected("CP1")
    bench.input(row(), Send(b"lost"))
    bench.driver.connected("CP1")
    bench.loop.turn()
    bench.store.sync()
    assert bench.left == []


def test_driver_answers_a_command_when_its_write_is_durable(bench: Bench) -> None:
    """D1."""
    bench.core.script.append([row(), Reply(1, {"status": "Accepted"})])
    bench.driver.command("CP1", "data_transfer", ("vendor", None, None), bench.reply("answer"))
    assert bench.core.inputs[-1] == ("data_transfer", 1, "vendor", None, None)
    bench.loop.turn()
    assert bench.left == []
    bench.store.sync()
    assert bench.left == [("answer", {"status": "Accepted"}, None)]


def test_driver_answers_commands_by_their_request_number(bench: Bench) -> None:
    bench.driver.command("CP1", "stop", (), bench.reply("first"))
    bench.driver.command("CP1", "restart", (), bench.reply("second"))
    error = UnavailableError("timeout")
    bench.input(Reply(2, None, error), Reply(1, True), Reply(1, True), Reply(77, True))
    assert bench.left == [("second", None, error), ("first", True, None)]


def test_driver_whose_core_refuses_a_command_raises_and_never_replies(bench: Bench) -> None:
    bench.core.raises = LocalError("invalid_params", "no")
    with pytest.raises(LocalError):
        bench.driver.command("CP1", "stop", (), bench.reply("answer"))
    bench.core.raises = None
    bench.input(Reply(1, True))
    assert bench.left == []


def test_driver_returns_the_answer_of_a_command_at_once_and_ahead_of_the_disk(bench: Bench) -> None:
    """P3: a report that changes nothing costs no wait."""
    bench.core.script.append([row(), Send(b"held")])
    bench.core.returns = {"status": "Available"}
    assert bench.driver.command("CP1", "report", (), bench.reply("never")) == {"status": "Available"}
    assert bench.left == []
    bench.input(Reply(1, "again"))
    bench.loop.turn()
    bench.store.sync()
    assert bench.left == [b"held"]


def test_driver_whose_core_replies_in_the_command_itself_answers_before_it_returns(bench: Bench) -> None:
    bench.core.script.append([Reply(1, "replied")])
    assert bench.driver.command("CP1", "report", (), bench.reply("answer")) is None
    assert bench.left == [("answer", "replied", None)]


def test_driver_replaces_a_core_behind_everything_of_its_last_input(bench: Bench) -> None:
    """decisions.md 6: Reset."""
    bench.input(Send(b"1"), Recreate(), row("late"), Send(b"2"))
    bench.loop.turn()
    assert (bench.left, bench.recreated) == ([b"1"], [])
    bench.store.sync()
    assert (bench.left, bench.recreated) == ([b"1", b"2"], ["CP1"])
    assert [write.key for write in bench.store.commits[0]] == ["late"]


def test_driver_lets_no_input_reach_a_core_that_waits_for_its_successor(bench: Bench) -> None:
    bench.core.deadline = 1005.0
    bench.input(Ask(7, "connector.unlock", {}, 1, 10.0))
    bench.driver.command("CP1", "data_transfer", (), bench.reply("waits"))
    before = list(bench.core.inputs)
    bench.input(row(), Recreate())

    with pytest.raises(UnavailableError) as caught:
        bench.driver.command("CP1", "report", (), bench.reply("never"))
    bench.driver.receive("CP1", b"[]", False)
    bench.driver.disconnected("CP1")
    bench.answers[0]({}, None)
    bench.input(Send(b"never"))
    bench.loop.turn()
    bench.loop.pass_time(60)

    assert caught.value.code == "busy"
    assert bench.core.inputs == before
    bench.store.sync()
    ((name, result, error),) = cast("list[Any]", bench.left)
    assert (name, result, error.code) == ("waits", None, "busy")


def test_driver_goes_on_with_the_new_core_on_the_same_link(bench: Bench) -> None:
    bench.core.deadline = 1005.0
    bench.input(Ask(7, "connector.unlock", {}, 1, 10.0), Recreate())
    successor = ScriptedCore()
    successor.deadline = 1020.0
    successor.script.append([Connect({})])

    bench.driver.replace(cast("ChargePoint", successor))
    bench.driver.start("CP1")
    bench.driver.connected("CP1", "fingerprint of a root")
    bench.answers[0]({}, None)
    bench.loop.pass_time(19)
    assert successor.inputs == [("start",), ("connected", "fingerprint of a root")]
    bench.loop.pass_time(1)

    assert successor.inputs[2:] == [("handle_timer",)]
    assert bench.left == [("connect", {})]
    assert cast(Any, bench.driver.core("CP1")) is successor
    assert [name for name, *_ in bench.core.inputs] == ["connected"]


def test_driver_tells_every_caller_of_a_reset_whatever_one_does(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def explode(result: object, error: Exception | None) -> None:
        raise RuntimeError("listener broke")

    bench.driver.command("CP1", "stop", (), explode)
    bench.driver.command("CP1", "stop", (), bench.reply("second"))
    bench.input(Recreate())

    assert [cast("Any", left)[0] for left in bench.left] == ["second"]
    assert "listener broke" in caplog.text


def test_driver_asked_for_a_stranger_names_it(bench: Bench) -> None:
    with pytest.raises(LocalError, match="CP9") as caught:
        bench.driver.core("CP9")
    assert caught.value.code == "unknown_charge_point"


def test_driver_gives_the_link_the_access_of_the_core(bench: Bench) -> None:
    """S-154."""
    access = Access(1, "ws://csms.test", b"key")
    cast(Any, bench.core).access = lambda: access
    assert bench.driver.access("CP1") is access


def test_driver_takes_the_first_answer_to_a_piece_of_work_however_long_it_takes(bench: Bench) -> None:
    """A transfer has no deadline here, and leaves behind the write before it as everything does."""
    bench.input(Store("configuration", "A", b"1"), Work(7, "transfer.download", {}))
    assert ("work", "transfer.download") not in bench.left
    bench.loop.turn()
    bench.store.sync()
    bench.loop.pass_time(86_400)
    assert bench.left[-1] == ("work", "transfer.download")
    (answer,) = bench.answers
    answer({"ok": True}, None)
    answer({"ok": False}, None)
    assert bench.core.inputs[1:] == [("receive_answer", 7, {"ok": True}, None)]


def test_driver_abandons_work_when_told_and_at_a_reset(bench: Bench) -> None:
    bench.input(Work(1, "transfer.upload", {}), Work(2, "archive.make", {}), Abandon(1))
    bench.answers[0]({"ok": True}, None)
    assert bench.core.inputs[1:] == []
    bench.input(Recreate())
    assert [each for each in bench.left if each[0] == "abandon"] == [("abandon", 1), ("abandon", 2)]  # type: ignore[index]


def test_driver_whose_work_cannot_be_begun_answers_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("bug")
    monkeypatch.setattr(bench, "work", lambda identity, work, answer: (_ for _ in ()).throw(error))
    bench.driver._outside = bench
    bench.input(Work(1, "transfer.upload", {}))
    assert bench.core.inputs[1:] == [("receive_answer", 1, None, error)]


def test_driver_hands_security_events_to_the_log_behind_the_write_before_them(bench: Bench) -> None:
    """White paper A04.FR.04."""
    bench.input(Store("outbox", "1", b"{}"), Record("StartupOfTheDevice", "", 0))
    assert ("record", "StartupOfTheDevice") not in bench.left
    bench.loop.turn()
    bench.store.sync()
    assert ("record", "StartupOfTheDevice") in bench.left


def test_driver_takes_an_input_caused_by_an_output_behind_what_already_waits(bench: Bench) -> None:
    """One mutation, drain every effect, then the next mutation."""
    bench.driver.command("CP1", "stop", (), lambda result, error: bench.input(Send(b"3")))
    bench.input(Send(b"1"), Reply(1, True), Send(b"2"))
    assert bench.left == [b"1", b"2", b"3"]


def test_driver_survives_an_output_that_raises(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def explode(result: object, error: Exception | None) -> None:
        raise RuntimeError("listener broke")

    bench.driver.command("CP1", "stop", (), explode)
    bench.input(Reply(1, True), Send(b"next"))
    assert bench.left == [b"next"]
    assert "listener broke" in caplog.text


def test_driver_survives_a_frame_that_raises_in_the_core(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """J-278: a frame never ends receiving."""
    bench.core.raises = RuntimeError("bug in a rule")
    bench.driver.receive("CP1", b"[", False)
    bench.core.raises = None
    bench.core.script.append([Send(b"good")])
    bench.driver.receive("CP1", b"[]", True)
    assert bench.core.inputs[-1] == ("receive_frame", b"[]", True)
    assert bench.left == [b"good"]
    assert "bug in a rule" in caplog.text


def test_driver_runs_the_timer_of_the_core_when_it_is_due(bench: Bench) -> None:
    bench.core.deadline = 1010.0
    bench.input()
    bench.loop.pass_time(9)
    assert ("handle_timer",) not in bench.core.inputs
    bench.core.script.append([Send(b"beat")])
    bench.core.deadline = 1020.0
    bench.loop.pass_time(1)
    assert bench.left == []
    bench.loop.pass_time(10)
    assert bench.left == [b"beat"]


def test_driver_keeps_one_timer_per_charge_point(bench: Bench) -> None:
    for deadline in (1010.0, 1020.0, 1005.0, 1030.0, 1005.0):
        bench.core.deadline = deadline
        bench.input()
    assert [handle.when() for handle in bench.loop.timers] == [1005.0]


def test_driver_whose_timer_raises_tries_again_later_and_not_at_once(bench: Bench) -> None:
    bench.core.deadline = 1001.0
    bench.core.raises = RuntimeError("bug")
    bench.input()
    bench.loop.pass_time(1)
    assert bench.core.inputs.count(("handle_timer",)) == 1
    assert [handle.when() for handle in bench.loop.timers] == [1002.0]
    bench.loop.pass_time(1)
    assert bench.core.inputs.count(("handle_timer",)) == 2


def test_driver_takes_the_first_answer_to_a_question(bench: Bench) -> None:
    bench.input(Ask(7, "connector.unlock", {}, 1, 10.0))
    (answer,) = bench.answers
    answer({"ok": True}, None)
    answer({"ok": False}, None)
    bench.loop.pass_time(60)
    assert bench.core.inputs[1:] == [("receive_answer", 7, {"ok": True}, None)]


def test_driver_answers_a_question_itself_when_time_is_up(bench: Bench) -> None:
    bench.input(Ask(7, "connector.unlock", {}, 1, 10.0))
    bench.loop.pass_time(10)
    ((name, ask, result, error),) = bench.core.inputs[1:]
    assert (name, ask, result) == ("receive_answer", 7, None)
    assert isinstance(error, UnavailableError)
    assert error.code == "timeout"


def test_driver_stops_reading_while_the_core_takes_no_frames(bench: Bench) -> None:
    """J-241, T20."""
    bench.core.accepting_frames = False
    bench.driver.receive("CP1", b"[]", False)
    bench.driver.receive("CP1", b"[]", False)
    bench.core.accepting_frames = True
    bench.input()
    assert bench.left == ["pause", "resume"]


def test_driver_stops_reading_while_too_much_waits_for_the_disk(bench: Bench) -> None:
    bench.input(row(), *[Publish("t", b"1")] * (FIFO_LIMIT + 1))
    assert bench.left == ["pause"]
    bench.loop.turn()
    bench.store.sync()
    assert bench.left[-1] == "resume"


def test_driver_starts_and_warns_every_core() -> None:
    bench = Bench()
    other = bench.add("CP2")
    bench.driver.start()
    bench.driver.store_short(True)
    assert bench.core.inputs == other.inputs == [("start",), ("store_full",)]


def test_driver_tells_every_core_that_there_is_room_again(bench: Bench) -> None:
    """F10: sessions begin again when the disk has room."""
    bench.driver.store_short(True)
    bench.driver.store_short(False)
    assert bench.core.inputs[-2:] == [("store_full",), ("store_ok",)]


def test_driver_tells_a_core_that_begins_while_room_is_short(bench: Bench) -> None:
    """F10: a reset on a full disk must not let sessions begin."""
    bench.driver.store_short(True)
    bench.input(Recreate())
    successor = ScriptedCore()
    bench.driver.replace(cast("ChargePoint", successor))
    bench.driver.start("CP1")
    assert successor.inputs == [("start",), ("store_full",)]


def test_driver_whose_core_cannot_start_says_so(bench: Bench) -> None:
    bench.core.raises = ValueError("rows of another world")
    with pytest.raises(ValueError, match="another world"):
        bench.driver.start("CP1")


def test_driver_ignores_what_comes_after_its_end(bench: Bench) -> None:
    bench.core.deadline = 1010.0
    bench.input(Ask(1, "m", {}))
    bench.driver.close()
    assert bench.loop.timers == []
    bench.driver.disconnected("CP1")
    bench.driver.receive("CP1", b"[]", False)
    bench.answers[0](None, None)
    assert [name for name, *_ in bench.core.inputs] == ["connected"]


@pytest.mark.asyncio
async def test_driver_is_drained_when_every_write_is_durable(bench: Bench) -> None:
    bench.input(row("a"))
    bench.loop.turn()
    bench.input(row("b"))
    drained = asyncio.create_task(bench.driver.drained())
    await asyncio.sleep(0)
    bench.store.sync()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not drained.done()
    bench.store.sync()
    await drained


@pytest.mark.asyncio
async def test_driver_is_never_drained_by_a_failed_commit(bench: Bench) -> None:
    bench.input(row())
    bench.loop.turn()
    drained = asyncio.create_task(bench.driver.drained())
    await asyncio.sleep(0)
    bench.store.fail(OSError("gone"))
    with pytest.raises(UnavailableError):
        await drained


def test_commit_that_is_durable_is_told_with_its_time_and_its_rows(bench: Bench) -> None:
    """For metrics: from the begin of the commit to the disk; one that is under way is not told."""
    told: list[tuple[float, int]] = []
    bench.driver.on_commit = lambda seconds, rows: told.append((seconds, rows))
    bench.input(row("a"), row("b"))
    bench.loop.turn()
    bench.loop.now_s += 0.25
    assert told == []
    bench.store.sync()
    assert told == [(0.25, 2)]


def test_traffic_of_a_link_is_counted(bench: Bench) -> None:
    """For metrics: connections, frames of both directions, and whether the link is read from."""
    bench.driver.receive("CP1", b"[]", False)
    bench.input(Send(b"1"), Send(b"2"))
    bench.driver.disconnected("CP1")
    bench.input(Send(b"lost"))
    bench.driver.connected("CP1")
    bench.core.accepting_frames = False
    bench.driver.receive("CP1", b"[]", False)
    assert bench.driver.traffic("CP1") == (2, 2, 2, True)
