"""The security log: every security event of a charge point as a line that proves the lines before it.

Owns the files ``security/NAME.jsonl`` of the state directory, and ``security.heads``, which remembers beside them how
far each log was, so that one that is gone is noticed. Must never block the loop, change a line that stands, or end the
process: a disk that is full costs lines, which the log then says.

A line is a JSON object: ``seq`` (from 1), ``time`` (UTC), ``type``, ``info``, ``previous`` (hash of the line before),
``hash`` (SHA-256 over the text of the object without it). Types in lower case are the log's own remarks.

Implements: security white paper A04.FR.04, N01.FR.05 (S-213); reliability.md 3.5, 4.2 (loss bound 1 s), T37.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from ocpphub.batch_thread import BatchThread
from ocpphub.log import mask, utc_text
from ocpphub.rotated_file import RotatedFile
from ocpphub.store.directory import write_durably

logger = logging.getLogger("ocpphub.daemon")

FILE_BYTES: Final = 16 * 2**20
FILES: Final = 4
HEADS_NAME: Final = "security.heads"
FOLDER: Final = "security"
MAX_KEPT: Final = 1_000
"""Lines that wait for room on the disk."""
_TAIL_BYTES: Final = 262_144
_LONGEST_NAME: Final = 100
_NO_HASH: Final = "0" * 64
_HASH: Final = b',"hash":"'
_HASH_BYTES: Final = len(_HASH) + 64 + len(b'"}\n')


class Head(NamedTuple):
    """The last line of a log: its number and hash; of an empty log ``START``."""

    seq: int
    hash: str


class Entry(NamedTuple):
    """An event on its way into a log."""

    identity: str
    kind: str
    info: str
    utc_ms: int


START: Final = Head(0, _NO_HASH)


class SecurityLog:
    """The logs of a process. :meth:`append` belongs to the loop, :meth:`flush` and :meth:`lines` to other threads."""

    def __init__(
        self,
        state_directory: Path,
        on_cleared: Callable[[str, str], None] = lambda identity, info: None,
        *,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        """``on_cleared(identity, info)`` hears on the writing thread that lines are gone, once each time."""
        self._directory, self._on_cleared, self._file_bytes = state_directory, on_cleared, file_bytes
        self._chains: dict[str, _Chain] = {}
        self._heads: dict[str, Head] | None = None
        self._waiting: list[Entry] = []
        self._lost = 0
        self._has_warned = False
        self._thread: BatchThread[Entry | None] = BatchThread("security log", self._write)

    def append(self, identity: str, kind: str, info: str, utc_ms: int) -> None:
        """Add an event; it is on the disk within a second. Secrets are masked as in the log (S-157)."""
        self._thread.put(Entry(identity, kind, mask(info), utc_ms))
        self._thread.start()

    def flush(self) -> None:
        """Wait until what was appended is on the disk; what found no room is tried again."""
        self._try_again()
        self._thread.flush()

    async def close(self) -> None:
        """Write what is left."""
        self._try_again()
        await asyncio.to_thread(self._thread.close)

    def _try_again(self) -> None:
        if self._waiting:
            self._thread.put(None)

    def lines(self, identity: str, since_ms: int | None, until_ms: int | None) -> Iterator[bytes]:
        """The lines of a charge point in a window of time, both ends included, oldest first; damaged ones too."""
        file = _file(self._directory, identity, self._file_bytes)
        since, until = (None if at is None else utc_text(at) for at in (since_ms, until_ms))
        for path in file.paths():
            with suppress(FileNotFoundError), path.open("rb") as lines:
                for line in lines:
                    at = _time_of(line)
                    if at is None or ((since is None or at >= since) and (until is None or at <= until)):
                        yield line

    def _write(self, fresh: Sequence[Entry | None], lost: int) -> None:
        """``None`` among them brings nothing new: what waits is tried again."""
        entries = [*self._waiting, *(entry for entry in fresh if entry is not None)]
        self._lost += lost
        try:
            if self._heads is None:
                self._heads = _read_heads(self._directory / HEADS_NAME)
            for identity in dict.fromkeys(entry.identity for entry in entries):
                self._extend(identity, [entry for entry in entries if entry.identity == identity])
                entries = [entry for entry in entries if entry.identity != identity]
            write_durably(self._directory / HEADS_NAME, json.dumps(self._heads))
        except OSError as error:
            if not self._has_warned:
                logger.warning("the security log cannot be written: %s", error)
                self._has_warned = True
            self._lost += max(0, len(entries) - MAX_KEPT)
            self._waiting = entries[:MAX_KEPT]
            self._chains.clear()  # what is on the disk is found out again
        else:
            self._waiting, self._has_warned = [], False

    def _extend(self, identity: str, entries: Sequence[Entry]) -> None:
        assert self._heads is not None  # noqa: S101  # read before
        chain = self._chains.get(identity)
        if chain is None or chain.is_stale:
            chain = self._chains[identity] = _Chain(_file(self._directory, identity, self._file_bytes))
        at_ms = entries[0].utc_ms
        gone = chain.take_up(self._heads.get(identity, START), at_ms)
        if self._lost:
            chain.add("lines lost", f"{self._lost} events found no room", at_ms)
        for entry in entries:
            chain.add(entry.kind, entry.info, entry.utc_ms)
        chain.write()
        self._heads[identity], self._lost = chain.head, 0
        if gone:
            self._on_cleared(identity, gone)


class _Chain:
    """The end of one log. ``head`` is that of the last line on the disk."""

    def __init__(self, file: RotatedFile) -> None:
        self._file = file
        self.head = START
        self._lines: list[bytes] = []
        self._last = START
        self._size: int | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the file is not as it was left."""
        return self._size is not None and self._file.size() != self._size

    def take_up(self, remembered: Head, at_ms: int) -> str | None:
        """Read where the log ends, once, and cut off what a crash has left of a line.

        The text says which lines are gone, if any are. Raises ``OSError``.
        """
        if self._size is not None:
            return None
        size = self._file.size()
        self.head, self._size = _end(self._file)
        seq, gone = self.head.seq, None
        if seq < remembered.seq or (seq == remembered.seq and self.head != remembered):
            gone = f"lines {min(seq + 1, remembered.seq)} to {remembered.seq} are gone"
            self.head = remembered
        self._last = self.head
        if self._size < size:
            self._file.cut(self._size)
            self.add("torn line removed", f"{size - self._size} bytes", at_ms)
        if gone:
            self.add("lines gone", gone, at_ms)
        return gone

    def add(self, kind: str, info: str, utc_ms: int) -> None:
        """Make the next line; :meth:`write` brings it to the disk."""
        fields = {
            "seq": self._last.seq + 1,
            "time": utc_text(utc_ms),
            "type": kind,
            "info": info,
            "previous": self._last.hash,
        }
        text = json.dumps(fields, separators=(",", ":")).encode()
        self._last = Head(self._last.seq + 1, sha256(text).hexdigest())
        self._lines.append(text[:-1] + _HASH + self._last.hash.encode() + b'"}\n')

    def write(self) -> None:
        """Bring the new lines to the disk, all or none of them. Raises ``OSError``."""
        data = b"".join(self._lines)
        if not self._file.has_room(len(data)):
            self._file.rotate()
        self._file.append(data, is_durable=True)
        self.head, self._lines, self._size = self._last, [], self._file.size()


def verify(path: Path, head: Head | None = None) -> str | None:
    """What is wrong first with a log (``path`` is ``NAME.jsonl``) and the files rotated out of it; ``None``: nothing.

    Finds a line that was edited, removed, added or moved; with the ``head`` also lines that were removed at the end.
    """
    file = RotatedFile(path, FILE_BYTES, FILES)
    last: Head | None = None if file.is_full else START
    for each in file.paths():
        for number, line in enumerate(each.read_bytes().splitlines(keepends=True), 1):
            fields = _fields(line)
            if fields is None:
                return f"{each.name}:{number}: the line does not match its hash"
            if last is not None and (fields["previous"] != last.hash or fields["seq"] != last.seq + 1):
                return f"{each.name}:{number}: line {last.seq + 1} does not stand before line {last.seq + 2}"
            last = Head(fields["seq"], fields["hash"])
    if head is not None and (last or START).seq < head.seq:
        return f"{path.name}: it ends at line {(last or START).seq} instead of {head.seq}"
    return None


def file_name(identity: str) -> str:
    """A file name that stands for an identity, whatever is in it."""
    name = quote(identity, safe="")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{sha256(identity.encode()).hexdigest()[:16]}"


def _file(directory: Path, identity: str, file_bytes: int) -> RotatedFile:
    return RotatedFile(directory / FOLDER / f"{file_name(identity)}.jsonl", file_bytes, FILES)


def _fields(line: bytes) -> dict[str, Any] | None:
    """The members of a line that is whole and matches its hash."""
    text, hashed = line[:-_HASH_BYTES] + b"}", line[-_HASH_BYTES:]
    if not (hashed.startswith(_HASH) and hashed.endswith(b'"}\n')):
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    is_sound = isinstance(fields, dict) and fields.get("hash") == sha256(text).hexdigest()
    return fields if is_sound and {"seq", "previous", "time"} <= fields.keys() else None


def _time_of(line: bytes) -> str | None:
    try:
        return str(orjson.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return None


def _end(file: RotatedFile) -> tuple[Head, int]:
    """The last sound line, and where it ends in the newest file. Raises ``OSError``."""
    for path in reversed(file.paths()):
        for tail in (_TAIL_BYTES, None):
            if found := _last(path, tail):
                return found[0], found[1] if path == file.path else 0
    return START, 0


def _last(path: Path, tail: int | None) -> tuple[Head, int] | None:
    with path.open("rb") as opened:
        at = max(0, path.stat().st_size - tail) if tail else 0
        opened.seek(at)
        found = None
        for line in opened:
            at += len(line)
            if fields := _fields(line):
                found = Head(fields["seq"], fields["hash"]), at
    return found


def _read_heads(path: Path) -> dict[str, Head]:
    try:
        heads = {identity: Head(*head) for identity, head in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        logger.warning("%s cannot be read: it is begun anew", path)
        return {}
    return heads
