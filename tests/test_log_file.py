"""The log file: the last records, masked, and nobody waits for it."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocpphub import log, log_file
from ocpphub.log_file import LogFile, flush, records

own = logging.getLogger("ocpphub.test")


@pytest.fixture
def kept() -> Iterator[LogFile]:
    handler = LogFile()
    root = logging.getLogger()
    level, root.level = root.level, logging.DEBUG
    root.addHandler(handler)
    own.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    handler.close()


def found(
    directory: Path, identity: str = "CP1", since_ms: int | None = None, until_ms: int | None = None
) -> list[str]:
    return [json.loads(line)["message"] for line in records(directory, identity, since_ms, until_ms)]


def put(at_ms: int, text: str, identity: str = "CP1") -> None:
    record = own.makeRecord(own.name, logging.INFO, "", 0, text, (), None, extra={"charge_point": identity})
    record.created = at_ms / 1000
    own.handle(record)


def test_records_before_the_file_is_known_are_in_it_too(kept: LogFile, tmp_path: Path) -> None:
    """S-222: what was said while the hub started; private, and masked."""
    own.info('{"idTag":"CANARYTAG"}')
    kept.open(tmp_path)
    own.info("wss://user:CANARY00@host")
    flush()
    text = (tmp_path / "log" / "ocpphub.log").read_text()
    assert len(text.splitlines()) == 2
    assert "CANARY" not in text
    assert stat.S_IMODE((tmp_path / "log" / "ocpphub.log").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700


def test_setting_the_log_up_again_keeps_the_file(kept: LogFile, tmp_path: Path) -> None:
    """A reload changes level and format of what goes to standard error, not where records are kept."""
    before = list(logging.getLogger().handlers)
    log.setup("debug", "text")
    assert kept in logging.getLogger().handlers
    logging.getLogger().handlers[:] = before


def test_window_and_charge_point_select(kept: LogFile, tmp_path: Path) -> None:
    """CORE-GD-05: both ends belong to it; records of other charge points do not."""
    kept.open(tmp_path)
    for at_ms in range(1_000, 6_000, 1_000):
        put(at_ms, f"at {at_ms}")
    put(3_000, "of all", "-")
    put(3_000, "of another", "CP2")
    flush()
    assert found(tmp_path, since_ms=2_000, until_ms=4_000) == ["at 2000", "at 3000", "at 4000", "of all"]
    assert len(found(tmp_path)) == 6
    assert found(tmp_path, since_ms=5_001) == []


def test_files_have_a_ceiling(kept: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: the newest records stay, whatever is logged; a line that a crash has torn is left out."""
    monkeypatch.setattr(log_file, "FILE_BYTES", 4_000)
    monkeypatch.setattr(log_file, "_PIECE_BYTES", 500)
    kept.open(tmp_path)
    for number in range(200):
        own.info("record %d", number)
    flush()
    sizes = [path.stat().st_size for path in (tmp_path / "log").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 4_000
    assert found(tmp_path)[-1] == "record 199"
    with (tmp_path / "log" / "ocpphub.log").open("ab") as file:
        file.write(b'{"time": "20')
    assert found(tmp_path)[-1] == "record 199"


def test_disk_that_refuses_costs_records_and_one_warning(
    kept: LogFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F09: and the process goes on."""
    (tmp_path / "log").write_text("in the way")
    kept.open(tmp_path)
    for _ in range(3):
        own.info("lost")
        flush()
    assert caplog.text.count("the log file cannot be written") == 1
    (tmp_path / "log").unlink()
    own.info("kept")
    flush()
    assert found(tmp_path) == ["kept"]


def test_record_that_cannot_be_formatted_harms_nobody(
    kept: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    kept.open(tmp_path)
    kept.emit(logging.LogRecord("x", logging.INFO, "", 0, "%d", ("text",), None))
    own.info("next")
    flush()
    assert found(tmp_path) == ["next"]
