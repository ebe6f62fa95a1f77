"""The security log: a chain that shows what was done to it."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocpphub import log, security_log
from ocpphub.rotated_file import RotatedFile
from ocpphub.security_log import HEADS_NAME, Entry, Head, SecurityLog, file_name, verify
from tests.builders import EPOCH_MS


class Bench:
    """A log in a directory, written at once, and what it told."""

    def __init__(self, directory: Path, file_bytes: int = security_log.FILE_BYTES) -> None:
        self.directory, self._file_bytes = directory, file_bytes
        self.cleared: list[tuple[str, str]] = []
        self.path = directory / "security" / "CP1.jsonl"
        self.start()

    def start(self) -> None:
        """Another life of the process."""
        self.log = SecurityLog(
            self.directory, lambda identity, info: self.cleared.append((identity, info)), file_bytes=self._file_bytes
        )

    def add(self, *kinds: str, identity: str = "CP1") -> None:
        for number, kind in enumerate(kinds):
            self.log.append(identity, kind, f"info {number}", EPOCH_MS + number)
        self.log.flush()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.lines("CP1", None, None)]

    def kinds(self) -> list[str]:
        return [line["type"] for line in self.lines()]

    def head(self) -> Head:
        return Head(*json.loads((self.directory / HEADS_NAME).read_text())["CP1"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_lines_hold_number_time_type_and_info(bench: Bench) -> None:
    """S-213: one line per event."""
    bench.add("StartupOfTheDevice", "InvalidMessages")
    first, second = bench.lines()
    assert (first["seq"], first["time"], first["type"], first["info"]) == (
        *(1, "2027-01-15T08:00:00.000Z", "StartupOfTheDevice", "info 0"),
    )
    assert (second["seq"], second["previous"]) == (2, first["hash"])
    assert verify(bench.path, bench.head()) is None


def test_files_are_private(bench: Bench) -> None:
    """T28, S-158."""
    bench.add("A")
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((bench.directory / HEADS_NAME).stat().st_mode) == 0o600


def test_each_charge_point_has_a_chain_of_its_own(bench: Bench) -> None:
    """S-213: the CSMS of one sees nothing of another."""
    bench.add("A")
    bench.add("B", identity="CP2")
    bench.add("C")
    assert [line["seq"] for line in bench.lines()] == [1, 2]
    assert verify(bench.directory / "security" / "CP2.jsonl") is None


def test_info_is_masked_and_stays_one_line(bench: Bench) -> None:
    """S-157, T30: a key never reaches the file, and no text forges a line."""
    log.hide("deadbeefdeadbeef")
    bench.log.append("CP1", "X", 'key deadbeefdeadbeef at wss://u:pw@host\n{"seq":2} \ud800', EPOCH_MS)
    bench.log.flush()
    text = bench.path.read_text()
    assert "deadbeef" not in text
    assert "pw" not in text
    assert text.count("\n") == 1
    log._hidden.clear()


def test_log_goes_on_after_a_restart(bench: Bench) -> None:
    """T37: one chain over all lives."""
    bench.add("A")
    bench.start()
    bench.add("B", "C")
    assert [line["seq"] for line in bench.lines()] == [1, 2, 3]
    assert verify(bench.path, bench.head()) is None
    assert bench.cleared == []


def rewritten(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return tamper


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(rewritten(lambda lines: [lines[0], lines[1].replace(b"B", b"X"), *lines[2:]]), id="edited"),
        pytest.param(rewritten(lambda lines: [lines[0].replace(b":1,", b":2,", 1), *lines[1:]]), id="renumbered"),
        pytest.param(rewritten(lambda lines: [lines[0], *lines[2:]]), id="removed"),
        pytest.param(rewritten(lambda lines: lines[1:]), id="the first removed"),
        pytest.param(rewritten(lambda lines: lines[:-1]), id="the last removed"),
        pytest.param(rewritten(lambda lines: [lines[1], lines[0], *lines[2:]]), id="reordered"),
        pytest.param(rewritten(lambda lines: [lines[0], *lines]), id="doubled"),
        pytest.param(rewritten(lambda lines: [*lines[:2], b"garbage\n", *lines[2:]]), id="added"),
        pytest.param(rewritten(lambda lines: [*lines[:2], lines[2][:-5]]), id="torn"),
        pytest.param(
            rewritten(lambda lines: [lines[0], lines[1].replace(b'"hash":"', b'"hash":"0'), lines[2]]), id="h"
        ),
        pytest.param(lambda path: path.unlink(), id="cleared"),
    ],
)
def test_verify_finds_what_was_done(bench: Bench, tamper: Callable[[Path], None]) -> None:
    """T37."""
    bench.add("A", "B", "C")
    tamper(bench.path)
    assert verify(bench.path, bench.head()) is not None


def test_full_file_is_rotated_and_the_chain_goes_on(tmp_path: Path) -> None:
    """T37, S-213: rolling, with a ceiling."""
    bench = Bench(tmp_path, file_bytes=1_000)
    for number in range(30):
        bench.add(f"E{number}")
    files = sorted(path.name for path in bench.path.parent.iterdir())
    assert files == ["CP1.jsonl", "CP1.jsonl.1", "CP1.jsonl.2", "CP1.jsonl.3"]
    assert all(path.stat().st_size <= 1_000 for path in bench.path.parent.iterdir())
    assert bench.kinds()[-1] == "E29"
    assert 1 < bench.lines()[0]["seq"] == 31 - len(bench.lines())
    assert verify(bench.path, bench.head()) is None
    bench.path.with_name("CP1.jsonl.2").unlink()
    assert verify(bench.path, bench.head()) is not None


def test_line_torn_by_a_crash_is_removed_and_that_is_said(bench: Bench) -> None:
    """T37; 4.2: a crash in the middle of a write."""
    bench.add("A", "B")
    whole = bench.path.read_bytes()
    for torn in (whole + b'{"seq":3,"ti', whole + b"\0" * 300):
        bench.path.write_bytes(torn)
        bench.start()
        bench.add("C")
        assert bench.kinds() == ["A", "B", "torn line removed", "C"]
        assert verify(bench.path, bench.head()) is None
        bench.path.write_bytes(whole)
        (bench.directory / HEADS_NAME).unlink()
    assert bench.cleared == []


def test_file_with_nothing_sound_in_it_is_begun_after_the_one_before(tmp_path: Path) -> None:
    """T37: rotation, then a crash before the first line was whole."""
    bench = Bench(tmp_path, file_bytes=600)
    bench.add("A", "B")
    bench.add("C")
    (tmp_path / HEADS_NAME).unlink()
    bench.path.write_bytes(b"\0" * 5)
    bench.start()
    bench.add("D")
    assert bench.kinds() == ["A", "B", "torn line removed", "D"]
    assert verify(bench.path) is None


@pytest.mark.parametrize("step", ["rotate", "append", "write_durably"])
def test_crash_at_any_step_of_a_write_is_neither_a_gap_nor_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """T37, 4.2: what was on the disk before is there, and the next life goes on behind it."""
    bench = Bench(tmp_path, file_bytes=500)
    bench.add("A", "B")

    class Killed(BaseException):
        pass

    def killed(*args: Any, **kwargs: Any) -> None:
        done(*args, **kwargs)
        raise Killed

    place: Any = security_log if step == "write_durably" else RotatedFile
    done = getattr(place, step)
    with monkeypatch.context() as patch:
        patch.setattr(place, step, killed)
        with pytest.raises(Killed):
            bench.log._write([Entry("CP1", "C", "", EPOCH_MS)], 0)
    bench.start()
    bench.add("D")
    assert bench.kinds() == ["A", "B", *([] if step == "rotate" else ["C"]), "D"]
    assert verify(bench.path, bench.head()) is None
    assert bench.cleared == []


@pytest.mark.parametrize("alive", [True, False], ids=["while it runs", "while it is down"])
def test_log_that_is_gone_is_told_and_begun_where_it_was(bench: Bench, alive: bool) -> None:
    """S-211, T37: SecurityLogWasCleared; the numbers show what is missing."""
    bench.add("A", "B", "C")
    bench.path.unlink()
    bench.path.parent.rmdir()
    if not alive:
        bench.start()
    bench.add("D")
    bench.add("E")
    assert bench.cleared == [("CP1", "lines 1 to 3 are gone")]
    assert [(line["seq"], line["type"]) for line in bench.lines()] == [(4, "lines gone"), (5, "D"), (6, "E")]


def test_log_that_was_emptied_is_told_as_well(bench: Bench) -> None:
    """S-211: the file is there, the lines are not."""
    bench.add("A")
    bench.path.write_bytes(b"")
    bench.add("B")
    assert bench.cleared == [("CP1", "lines 1 to 1 are gone")]


def test_log_that_was_replaced_by_another_is_told(tmp_path: Path) -> None:
    """T37: a log as long as the right one, with other lines."""
    bench, other = Bench(tmp_path / "a"), Bench(tmp_path / "b")
    for each in (bench, other):
        each.directory.mkdir()
    bench.add("A")
    other.add("FORGED")
    bench.path.write_bytes(other.path.read_bytes())
    bench.start()
    bench.add("B")
    assert len(bench.cleared) == 1


def test_first_log_of_all_is_not_taken_for_a_cleared_one(bench: Bench) -> None:
    """S-211: no event on the first start."""
    bench.add("A")
    assert bench.cleared == []
    assert bench.kinds() == ["A"]


def test_heads_that_cannot_be_read_are_begun_anew(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged file must not keep the log from being written."""
    bench.add("A")
    for text in ("nonsense", "[1]", '{"CP1":5}'):
        (bench.directory / HEADS_NAME).write_text(text)
        bench.start()
        bench.add("B")
    assert caplog.text.count("begun anew") == 3
    assert bench.kinds() == ["A", "B", "B", "B"]


def test_full_disk_costs_a_warning_and_the_lines_come_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F09: the process goes on, nothing is half written."""
    bench.add("A")
    monkeypatch.setattr(security_log, "MAX_KEPT", 2)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for number in range(4):
            bench.add(f"B{number}")
    assert caplog.text.count("cannot be written") == 1
    assert bench.kinds() == ["A"]
    bench.add("C")
    assert bench.kinds() == ["A", "lines lost", "B0", "B1", "C"]
    assert bench.lines()[1]["info"] == "2 events found no room"
    assert verify(bench.path, bench.head()) is None
    assert bench.cleared == []


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["flush", "close"])
async def test_lines_that_found_no_room_are_tried_again_without_another_event(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """S-213, A04.FR.04: an upload of the log, and the end of the process, have them."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        bench.add("A")
        bench.log.flush()
    assert bench.kinds() == []
    if how == "flush":
        bench.log.flush()
    else:
        await bench.log.close()
    assert bench.kinds() == ["A"]
    assert verify(bench.path, bench.head()) is None


def test_window_selects_by_time(bench: Bench) -> None:
    """S-222, CORE-GD-05: both ends belong to it; a line that cannot be read is shown."""
    bench.add("A", "B", "C", "D")
    assert [json.loads(line)["type"] for line in bench.log.lines("CP1", EPOCH_MS + 1, EPOCH_MS + 2)] == ["B", "C"]
    assert list(bench.log.lines("CP1", EPOCH_MS + 4, None)) == []
    with bench.path.open("ab") as file:
        file.write(b"tampered\n")
    assert list(bench.log.lines("CP1", EPOCH_MS + 4, None)) == [b"tampered\n"]
    assert list(bench.log.lines("CP9", None, None)) == []


@pytest.mark.asyncio
async def test_append_never_waits_and_close_writes_what_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A04.FR.04, 4.2: the loop goes on while the disk does not answer."""
    goes_on = threading.Event()
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: goes_on.wait(30) and real(descriptor))
    for number in range(100):
        bench.log.append("CP1", "A", "", EPOCH_MS + number)
    goes_on.set()
    await bench.log.close()
    assert len(bench.lines()) == 100


@pytest.mark.parametrize("identity", ["a/b", "..", "../../etc/passwd", "ä\n", "x" * 5_000, "CP 1"])
def test_file_name_of_any_identity_stays_in_its_directory(identity: str) -> None:
    """T35."""
    name = file_name(identity)
    assert "/" not in name
    assert "\n" not in name
    assert len(name) <= 200
    assert file_name(identity + "x") != name
