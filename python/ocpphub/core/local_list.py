"""The local authorization list: entries and version, changed by SendLocalList alone (OCPP 1.6 section 3.5.2).

Owns the list, its version and its rows. Must never decide what an entry allows (``authorization.py``), and must never
show entries of one version with the number of another.

    rows, oldest first:   | tags of an update | tags of an update | ... | newest |      version: number, first, last
    a Full replaces all of them; a Differential adds what it changes, and moves there what the oldest rows still hold

So an update writes about as much as it brings, however long the list is, and replaying the rows in order gives the
list. When a row is missing or unreadable nothing reliable is left: the list is empty with version 0, and only a Full
is taken (section 5.15: a CSMS whose Differential failed sends the list in full).

Implements: CORE-LL-03 to 10, 12 to 14 and 16; AMB-05; D8 of reliability.md 4.5.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from orjson import dumps

from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.rows import Rows
from ocpphub.core.verdict import Verdict, folded
from ocpphub.core.vocabulary import UpdateStatus, UpdateType

if TYPE_CHECKING:
    from ocpphub.core.messages import AuthorizationData, SendLocalListRequest

log = logging.getLogger("ocpphub.core")

TABLE: Final = "local_list"
VERSION: Final = "version"
ROW_TAGS: Final = 500
"""Tags of one row at most."""
SPARE_ROWS: Final = 64
"""Rows beyond what the length of the list calls for: so many small Differentials come without moving anything."""

Info = tuple[str, str | None, str | None]
"""Status, parentIdTag, expiryDate."""
Changes = dict[str, Info | None]
"""By folded id tag; ``None`` deletes."""
Entry = tuple[int, str, str | None, str | None]
"""The number of the row that holds it, then its :data:`Info`; equal ones of a row are one object."""


class LocalList:
    """The list of one charge point. Lookups are by id tag in any case."""

    __slots__ = ("_damaged", "_emit", "_entries", "_named", "_rows", "_version")

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._entries: dict[str, Entry] = {}
        self._rows: dict[int, tuple[str, ...]] = {}
        """The tags that each row names, deletions included, the oldest row first; the numbers have no gap."""
        self._named = 0
        self._version = 0
        self._damaged: tuple[str, ...] = ()
        """Keys of rows that cannot be used; they stay until a Full replaces them."""

    def restore(self, rows: Rows) -> None:
        """Take up the rows of an earlier process; if one is missing or unreadable the list is empty, loudly."""
        stored = rows.of(TABLE)
        if not stored or self._replay(rows, len(stored)):
            return
        log.error("the local authorization list is damaged: it is empty until the CSMS sends it in full")
        self._damaged = tuple(stored)
        self._empty()

    def _replay(self, rows: Rows, count: int) -> bool:
        head = rows.object(TABLE, VERSION, version=int, first=int, last=int)
        if head is None or count != head["last"] - head["first"] + 2:
            return False
        for number in range(head["first"], head["last"] + 1):
            row = rows.object(TABLE, str(number), tags=dict)
            if row is None or (changes := _read(row["tags"])) is None:
                return False
            self._take(number, changes)
        self._version = head["version"]
        return True

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def version(self) -> int:
        """The version of the list, 0 while it is empty (CORE-LL-01, AMB-05)."""
        return self._version

    def get(self, id_tag: str) -> Verdict | None:
        """The entry of a tag as the CSMS sent it; ``None`` for a tag that is not listed."""
        entry = self._entries.get(folded(id_tag))
        return None if entry is None else Verdict(*entry[1:])

    def receive(self, request: SendLocalListRequest, capacity: int, message_capacity: int) -> UpdateStatus:
        """SendLocalList: all of it or nothing.

        ``capacity`` bounds the list, ``message_capacity`` the entries of this request. Effects when Accepted:
        ``Store`` of rows, ``Discard`` of rows that they replace, ``Store`` of the version.
        """
        version, entries = request["listVersion"], request.get("localAuthorizationList", [])
        is_full = request["updateType"] == UpdateType.FULL
        if version <= 0 or len(entries) > message_capacity or (self._damaged and not is_full):
            return UpdateStatus.FAILED
        if not is_full and version <= self._version:
            return UpdateStatus.VERSION_MISMATCH
        changes = _changes(entries, is_full=is_full)
        if changes is None or self._length_after(changes, is_full=is_full) > capacity:
            return UpdateStatus.FAILED
        gone = self._begin_anew() if is_full else self._fold(changes)
        self._write(version, changes, gone)
        return UpdateStatus.ACCEPTED

    def _length_after(self, changes: Changes, *, is_full: bool) -> int:
        if is_full:
            return len(changes)
        added = sum(info is not None and tag not in self._entries for tag, info in changes.items())
        deleted = sum(info is None and tag in self._entries for tag, info in changes.items())
        return len(self._entries) + added - deleted

    def _begin_anew(self) -> set[str]:
        """A Full: nothing of before is left. The keys of the rows that it replaces."""
        gone = {*self._damaged, *map(str, self._rows)} - {VERSION}
        self._damaged = ()
        self._empty()
        return gone

    def _empty(self) -> None:
        self._entries, self._rows = {}, {}
        self._named = self._version = 0

    def _fold(self, changes: Changes) -> set[str]:
        """A Differential: take from ``changes`` what is so already, and let the oldest rows go if there are too many.

        What those still hold joins ``changes``: at most twice what the update brings and two rows, so that it stays
        small. The keys of the rows that go.
        """
        for tag in [tag for tag, info in changes.items() if self._info(tag) == info]:
            del changes[tag]
        gone: set[str] = set()
        budget = 2 * len(changes) + ROW_TAGS
        while budget > 0 and self._rows and self._is_long(len(changes)):
            number = next(iter(self._rows))
            tags = self._rows.pop(number)
            self._named -= len(tags)
            budget -= len(tags)
            gone.add(str(number))
            for tag in tags:
                # Deletions in the oldest row hide nothing any more.
                if tag not in changes and (entry := self._entries.get(tag)) is not None and entry[0] == number:
                    changes[tag] = entry[1:]
        return gone

    def _is_long(self, more: int) -> bool:
        wanted = len(self._entries)
        is_stale = self._named + more > 2 * wanted + ROW_TAGS
        return is_stale or len(self._rows) > SPARE_ROWS + 5 * wanted // ROW_TAGS

    def _info(self, tag: str) -> Info | None:
        entry = self._entries.get(tag)
        return None if entry is None else entry[1:]

    def _write(self, version: int, changes: Changes, gone: set[str]) -> None:
        first = next(iter(self._rows), 0)
        number = max(self._rows, default=-1) + 1
        if not self._rows:
            first = number = max((int(key) for key in gone if key.isdecimal()), default=-1) + 1
        for part in _parts(changes):
            self._take(number, part)
            self._emit(Store(TABLE, str(number), dumps({"tags": part})))
            number += 1
        for key in sorted(gone):
            self._emit(Discard(TABLE, key))
        self._version = version if self._entries else 0
        self._emit(Store(TABLE, VERSION, dumps({"version": self._version, "first": first, "last": number - 1})))

    def _take(self, number: int, changes: Changes) -> None:
        """Make the changes of row ``number``, which is the newest."""
        shared: dict[Entry, Entry] = {}
        for tag, info in changes.items():
            if info is None:
                self._entries.pop(tag, None)
            else:
                entry = (number, *info)
                self._entries[tag] = shared.setdefault(entry, entry)
        self._rows[number] = tuple(changes)
        self._named += len(changes)


def _changes(entries: list[AuthorizationData], *, is_full: bool) -> Changes | None:
    """The entries of a request by tag; ``None`` if it names one twice, or a Full wants one deleted (section 7.1)."""
    changes: Changes = {}
    for entry in entries:
        info = entry.get("idTagInfo")
        if info is None:
            if is_full:
                return None
            changes[folded(entry["idTag"])] = None
        else:
            changes[folded(entry["idTag"])] = (info["status"], info.get("parentIdTag"), info.get("expiryDate"))
    return changes if len(changes) == len(entries) else None


def _parts(changes: Changes) -> Iterator[Changes]:
    items = iter(changes.items())
    while part := dict(islice(items, ROW_TAGS)):
        yield part


def _read(tags: dict[str, Any]) -> Changes | None:
    """The changes that a row holds, ``None`` if it is damaged. Infos are few, so each is looked at once."""
    changes: Changes = {}
    infos: dict[Info, Info] = {}
    try:
        for tag, item in tags.items():
            info = None if item is None else tuple(item)
            if info is not None and info not in infos:
                status, *others = info
                if not (isinstance(item, list) and isinstance(status, str) and _are_texts(others)):
                    return None
                infos[info] = info
            changes[tag] = info and infos[info]
    except (TypeError, ValueError):
        return None
    return changes


def _are_texts(others: list[Any]) -> bool:
    return len(others) == 2 and all(text is None or isinstance(text, str) for text in others)
