"""Samples as rows: their text, their keys, the layouts that say what their values are of, and what they become.

Owns the JSON text of a sample and of a layout, and the number a layout is stored under. Must never decide which samples
travel together (``delivery.py``) nor what is sampled (``metering.py``). Several samples are kept as one text, a line
each; the place of a line is the sample's index and an empty line is a sample that is gone, so that memory holds a
hundred thousand of them and a key says where a sample stands.

Implements: OCPP 1.6 sections 3.16, 7.33; J-327; errata 3.89; requirements CORE-TXQ-12, CORE-TX-19.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from orjson import JSONDecodeError, dumps, loads

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.readings import Descriptor, meter_value
from ocpphub.core.rows import Rows, log
from ocpphub.core.transaction import row_key
from ocpphub.core.vocabulary import ReadingContext

LAYOUTS: Final = "layout"
MAX_LAYOUTS: Final = 4_096
"""Stored layouts beyond which those that no sample uses are given up."""
CONTEXTS: Final = (
    ReadingContext.SAMPLE_PERIODIC,
    ReadingContext.SAMPLE_CLOCK,
    ReadingContext.TRANSACTION_BEGIN,
    ReadingContext.TRANSACTION_END,
    ReadingContext.INTERRUPTION_BEGIN,
    ReadingContext.INTERRUPTION_END,
    ReadingContext.OTHER,
    ReadingContext.TRIGGER,
)
"""A stored context is an index into this: new ones are appended, none is ever moved."""
PLACES: Final = {str(context): place for place, context in enumerate(CONTEXTS)}
LASTING: Final = frozenset((2, 3))
"""Contexts of samples that are never thinned (errata 3.89, reliability.md 3.5)."""
_GAP: Final = "?"
"""Stands for a value in the shape of a MeterValue; nothing else in one is this text."""
_FRAME: Final = 64
"""Bytes of a MeterValue around its sampled values, generously."""


def sample_row(layout: int, at_ms: int, context: int, trusted: bool, values: Sequence[str]) -> bytes:
    """A sample as it is stored: ``[layout, utc_ms, context, trusted, value...]``."""
    return dumps([layout, at_ms, context, 1 if trusted else 0, *values])


def retimed(row: bytes, at_ms: int, trusted: bool) -> bytes:
    """The same sample, taken at another time."""
    layout, _, context, _, *values = loads(row)
    return sample_row(layout, at_ms, context, trusted, values)


def time_of(row: bytes) -> tuple[int, bool]:
    """When a sample was taken in milliseconds since 1970, and whether that is trusted."""
    _, at_ms, _, trusted, *_ = loads(row)
    return at_ms, bool(trusted)


def appended(lines: bytes, row: bytes) -> bytes:
    """Lines with one more sample."""
    return lines + b"\n" + row if lines else row


def present(lines: bytes) -> Iterator[tuple[int, bytes]]:
    """Index and text of each sample that is still there."""
    return ((index, row) for index, row in enumerate(lines.split(b"\n")) if row)


def without(lines: bytes, gone: Iterable[int]) -> bytes:
    """Lines without the samples of these indexes; empty when none is left."""
    rows = lines.split(b"\n")
    for index in gone:
        rows[index] = b""
    return b"\n".join(rows) if any(rows) else b""


def replaced(lines: bytes, rows: Iterable[tuple[int, bytes]]) -> bytes:
    """Lines with other samples at these indexes; the lines grow as far as an index needs it."""
    old = lines.split(b"\n")
    for index, row in rows:
        old.extend([b""] * (index + 1 - len(old)))
        old[index] = row
    return b"\n".join(old)


def dispensable(lines: bytes) -> list[int]:
    """The indexes of the samples that thinning takes next: every second where they stand closest.

    Each context is thinned by itself, so that two that alternate both stay. What is left stands at least twice as far
    apart as the closest two stood: the head of a long transaction is no thinner than its tail (errata 3.89). Of samples
    that stand alone, those.
    """
    times: dict[int, list[tuple[int, int]]] = {}
    for index, row in present(lines):
        _, at_ms, context, *_ = loads(row)
        if context not in LASTING:
            times.setdefault(context, []).append((at_ms, index))
    found = [index for samples in times.values() for index in _closest(samples)]
    return sorted(found) or sorted(index for samples in times.values() for _, index in samples)


def _closest(samples: list[tuple[int, int]]) -> Iterator[int]:
    gap_ms = min((b - a for (a, _), (b, _) in pairwise(samples)), default=0)
    kept_ms = samples[0][0]
    for at_ms, index in samples[1:]:
        if at_ms - kept_ms < max(2 * gap_ms, 1):
            yield index
        else:
            kept_ms = at_ms


class Layouts:
    """What the values of samples are of: each combination is stored once, samples name its number."""

    __slots__ = ("_emit", "_last", "_layouts", "_limit", "_numbers", "_recent", "_sizes", "_templates")

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._layouts: dict[int, tuple[Descriptor, ...]] = {}
        self._numbers: dict[tuple[Descriptor, ...], int] = {}
        self._sizes: dict[int, int] = {}
        self._recent: dict[int, tuple[int, tuple[Descriptor, ...]]] = {}
        """Numbers by the identity of a layout that is held here: hashing ten descriptors costs more than a sample."""
        self._templates: dict[tuple[int, int], bytes] = {}
        self._last, self._limit = 0, MAX_LAYOUTS

    def restore(self, rows: Rows) -> None:
        """Take up the layouts of an earlier process; a damaged one is left aside with an ERROR, and its number."""
        for key, text in rows.of(LAYOUTS).items():
            try:
                number = int(key)
                self._last = max(self._last, number)
                self._admit(number, tuple(Descriptor(*descriptor) for descriptor in loads(text)))
            except (JSONDecodeError, TypeError, ValueError):
                log.error("a damaged row of %s is left aside: %s", LAYOUTS, key)

    def _admit(self, number: int, layout: tuple[Descriptor, ...]) -> None:
        self._layouts[number] = layout
        self._numbers[layout] = number
        self._sizes[number] = _FRAME + len(dumps(meter_value(layout, 0, CONTEXTS[2], [""] * len(layout))))

    def number(self, layout: tuple[Descriptor, ...], used: Callable[[], set[int]]) -> int:
        """The number of a layout; ``used`` tells those that samples name. Effects: ``Store`` of a new one."""
        recent = self._recent.get(id(layout))
        if recent is not None:
            return recent[0]
        number = self._numbers.get(layout)
        if number is None:
            if len(self._layouts) >= self._limit:
                self._give_up_all_but(used())
            self._last = number = self._last + 1
            self._admit(number, layout)
            self._emit(Store(LAYOUTS, row_key(number), dumps([list(descriptor) for descriptor in layout])))
        if len(self._recent) >= MAX_LAYOUTS:
            self._recent.clear()
        self._recent[id(layout)] = (number, layout)
        return number

    def _give_up_all_but(self, used: set[int]) -> None:
        for number in [number for number in self._layouts if number not in used]:
            del self._numbers[self._layouts.pop(number)]
            del self._sizes[number]
            self._emit(Discard(LAYOUTS, row_key(number)))
        self._recent.clear()
        self._templates.clear()
        # Looking costs a pass over all samples: when nearly everything is used, look less often.
        self._limit = max(MAX_LAYOUTS, 2 * len(self._layouts))

    def size(self, row: bytes) -> int:
        """About how many bytes a sample takes on the wire, rather too many than too few."""
        return self._sizes[int(row[1 : row.index(b",")])] + len(row)

    def read(self, row: bytes) -> tuple[int, bool] | None:
        """Time and trust of a stored sample as :func:`time_of`; ``None`` when its shape or layout is damaged."""
        try:
            number, at_ms, context, trusted, *values = loads(row)
        except (JSONDecodeError, TypeError, ValueError):
            return None
        layout = self._layouts.get(number) if type(number) is int else None
        is_sound = (
            layout is not None
            and type(at_ms) is type(context) is int
            and 0 <= context < len(CONTEXTS)
            and (trusted == 0 or trusted == 1)  # a list would not be hashable
            and len(values) == len(layout)
            and all([type(value) is str for value in values])  # noqa: C419  # a hundred thousand times at a start
        )
        return (at_ms, bool(trusted)) if is_sound else None

    def meter_value(self, row: bytes) -> bytes:
        """The MeterValue of a sample (OCPP 1.6 section 7.33) as JSON text."""
        number, at_ms, context, _, values = row[1:-1].split(b",", 4)
        place = int(number), int(context)
        template = self._templates.get(place) or self._prepare(*place)
        texts = values.split(b",")
        if len(texts) != len(self._layouts[place[0]]):  # signed data with a comma in it
            texts = [dumps(value) for value in loads(row)[4:]]
        return template % (utc_text(int(at_ms)).encode(), *texts)

    def _prepare(self, number: int, context: int) -> bytes:
        """The text of every MeterValue of a layout and a context, with ``%b`` where a time or a value stands."""
        layout = self._layouts[number]
        shape = meter_value(layout, 0, CONTEXTS[context], [_GAP] * len(layout))
        shape["timestamp"] = _GAP
        text = dumps(shape).replace(b"%", b"%%")
        head, values = text.split(dumps(_GAP), 1)
        template = head + b'"%b"' + values.replace(dumps(_GAP), b"%b")
        self._templates[number, context] = template
        return template


def layouts_of(lines: bytes) -> set[int]:
    """The numbers of the layouts that these samples name."""
    return {loads(row)[0] for _, row in present(lines)}
