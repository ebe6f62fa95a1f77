"""The last records of the process in files of its own, for a diagnostics archive.

Owns ``log/ocpphub.log`` of the state directory: JSON lines, masked as every record is, at most 16 MiB with the file
before it. Must never block whoever logs, nor end the process: what a disk refuses is lost.

Implements: CORE-GD-05, S-222; reliability.md T28, T30, R1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from ocpphub.batch_thread import BatchThread
from ocpphub.log import JsonFormatter, utc_text
from ocpphub.rotated_file import RotatedFile

logger = logging.getLogger("ocpphub.daemon")

FILE_BYTES: Final = 8 * 2**20
FILES: Final = 2
_PIECE_BYTES: Final = 1_048_576
_OF_NOBODY: Final = "-"


class LogFile(logging.Handler):
    """A handler for the root logger. Records wait until :meth:`open` says where they belong."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._file: RotatedFile | None = None
        self._has_warned = False
        self._thread: BatchThread[bytes] = BatchThread("log file", self._write)

    def open(self, state_directory: Path) -> None:
        """Begin to write. The directory is this process's alone by now."""
        self._file = _file(state_directory)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written soon."""
        try:
            self._thread.put(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except Exception:  # noqa: BLE001  # the way of all handlers: a record that cannot be formatted is told
            self.handleError(record)

    def flush(self) -> None:
        """Wait until what was logged is in the file; not on the loop."""
        self._thread.flush()

    def close(self) -> None:
        """Write what is left."""
        self._thread.close()
        super().close()

    def _write(self, lines: Sequence[bytes], lost: int) -> None:
        try:
            if lost:
                self._append(orjson.dumps({"message": f"{lost} records found no room"}) + b"\n")
            piece = bytearray()
            for line in lines:
                piece += line
                if len(piece) > _PIECE_BYTES:
                    self._append(bytes(piece))
                    piece.clear()
            self._append(bytes(piece))
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("the log file cannot be written: %s", error)
        else:
            self._has_warned = False

    def _append(self, data: bytes) -> None:
        file = self._file
        if file is not None and data:
            if not file.has_room(len(data)):
                file.rotate()
            file.append(data, is_durable=False)


def begin(state_directory: Path) -> None:
    """Have what this process logs written there, if it is kept."""
    for handler in _handlers():
        handler.open(state_directory)


def flush() -> None:
    """Wait until what was logged in this process is in the file; not on the loop."""
    for handler in _handlers():
        handler.flush()


def _handlers() -> list[LogFile]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile)]


def records(state_directory: Path, identity: str, since_ms: int | None, until_ms: int | None) -> Iterator[bytes]:
    """The records of a charge point and of no particular one in a window of time, both ends included, oldest first."""
    since, until = (None if at is None else utc_text(at) for at in (since_ms, until_ms))
    for path in _file(state_directory).paths():
        with suppress(FileNotFoundError), path.open("rb") as lines:
            for line in lines:
                try:
                    record = orjson.loads(line)
                    at, owner = record.get("time", ""), record.get("charge_point", _OF_NOBODY)
                except (orjson.JSONDecodeError, AttributeError):
                    continue  # cut off by a crash
                is_its = owner in (identity, _OF_NOBODY)
                if is_its and (since is None or at >= since) and (until is None or at <= until):
                    yield line


def _file(state_directory: Path) -> RotatedFile:
    return RotatedFile(state_directory / "log" / "ocpphub.log", FILE_BYTES, FILES)
