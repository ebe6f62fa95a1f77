"""What a controller reports of a connector: levels, checked field by field (design rpc.md ``connector.report``).

Owns names, types and bounds of the fields, and the form with columns. Must never look at a connector: whether a report
fits what was before is decided by ``sessions.py`` and ``meter.py``. A report that is wrong anywhere is refused whole.

Implements: design rpc.md ``connector.report`` and ``connector.report_many``; OCPP 1.6 section 6.47 (CORE-STAT-15).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from ocpphub.core.boot import parse_utc_ms
from ocpphub.core.readings import Descriptor, Reading, column, is_register, register_of, row_readings
from ocpphub.core.vocabulary import ChargePointErrorCode
from ocpphub.errors import LocalError

MAX_ROWS: Final = 1_000
MAX_ERRORS: Final = 100
MAX_TEXT: Final = {"info": 50, "vendor_id": 255, "vendor_error_code": 50}
_MAX_PLUG_ID: Final = 255
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)

Parse = Callable[[object, str], tuple[Reading, ...]]
"""Checks ``measurements`` at a path (``Metering.parse``)."""


class Fault(NamedTuple):
    """One active error of a connector; ``inoperative`` ones keep it from charging (status Faulted)."""

    error_code: str
    info: str = ""
    vendor_id: str = ""
    vendor_error_code: str = ""
    inoperative: bool = False


@dataclass(slots=True)
class Report:
    """One report; ``None`` means "as in my last report of this attachment"."""

    connector_id: int
    plugged: bool | None = None
    plug_id: int | str | None = None
    ev_ready: bool | None = None
    evse_ready: bool | None = None
    energy_wh: int | None = None
    permit_seq: int | None = None
    max_current_a: float | None = None
    readings: tuple[Reading, ...] | None = None
    errors: tuple[Fault, ...] | None = None
    at_ms: int | None = None


def read_report(params: Mapping[str, Any], parse: Parse, path: str = "/params") -> Report:
    """The report in ``params``. Raises :class:`LocalError` ``invalid_params`` naming the field and what it takes."""
    connector_id = params.get("connector_id")
    if type(connector_id) is not int:
        raise wrong("not a connector id", f"{path}/connector_id", "an integer")
    report = Report(connector_id)
    for name, value in params.items():
        if name == "energy_wh":
            if type(value) is not int:
                raise wrong("not whole watt-hours", f"{path}/energy_wh", "an integer, 0 to 2147483647")
            report.energy_wh = value
        elif name in _FLAGS:
            if type(value) is not bool:
                raise wrong("not a boolean", f"{path}/{name}", "true or false")
            setattr(report, name, value)
        elif name == "measurements":
            report.readings = parse(value, f"{path}/measurements")
            if "energy_wh" not in params:
                report.energy_wh = register_of(report.readings)  # the same level under its other name
        elif name not in _IGNORED:
            _read_other(report, name, value, path)
    return report


_FLAGS: Final = frozenset(("plugged", "ev_ready", "evse_ready"))
_IGNORED: Final = frozenset(("connector_id", "charge_point"))
_NAMES: Final = (
    *("connector_id", "plugged", "plug_id", "ev_ready", "evse_ready", "energy_wh", "permit_seq", "max_current_a"),
    *("measurements", "errors", "timestamp"),
)


def _read_other(report: Report, name: str, value: Any, path: str) -> None:
    at = f"{path}/{name}"
    if name == "plug_id":
        if type(value) is not int and not (type(value) is str and 1 <= len(value) <= _MAX_PLUG_ID):
            raise wrong("not a plug id", at, f"an integer, or a text of 1 to {_MAX_PLUG_ID} characters")
        report.plug_id = value
    elif name == "permit_seq":
        if type(value) is not int or not 0 <= value < 2**63:
            raise wrong("not a sequence number", at, "the seq of a permit")
        report.permit_seq = value
    elif name == "max_current_a":
        if type(value) not in (int, float) or not 0 <= value <= 100_000:
            raise wrong("not a current", at, "amperes, 0 to 100000")
        report.max_current_a = float(value)
    elif name == "errors":
        report.errors = tuple(_faults(value, at))
    elif name == "timestamp":
        at_ms = parse_utc_ms(value.upper()) if type(value) is str and _MOMENT.fullmatch(value) else None
        if at_ms is None:
            raise wrong("no moment", at, 'RFC 3339 with an offset, such as "2027-01-15T08:00:00Z"')
        report.at_ms = at_ms
    else:
        near = get_close_matches(name[:50], _NAMES, n=1)
        hint = f"did you mean {near[0]}" if near else "one of " + ", ".join(_NAMES)
        raise wrong(f"unknown field {name[:50]}", f"{path}/{name[:50]}", hint)


def _faults(value: Any, path: str) -> Iterator[Fault]:
    if type(value) is not list or len(value) > MAX_ERRORS:
        raise wrong("not a list of errors", path, f"an array of at most {MAX_ERRORS} objects, empty for none")
    for index, item in enumerate(value):
        at = f"{path}/{index}"
        if type(item) is not dict:
            raise wrong("not an error", at, 'an object with "error_code"')
        unknown = next((name for name in item if name not in Fault._fields), None)
        if unknown is not None:
            raise wrong(f"unknown field {unknown[:50]}", f"{at}/{unknown[:50]}", "one of " + ", ".join(Fault._fields))
        code = item.get("error_code")
        if code not in _ERROR_CODES:
            raise wrong("unknown error code", f"{at}/error_code", "one of " + ", ".join(_ERROR_CODES))
        for name, limit in MAX_TEXT.items():
            text = item.get(name, "")
            if type(text) is not str or len(text) > limit:
                raise wrong(f"bad {name}", f"{at}/{name}", f"a text of at most {limit} characters")
        inoperative = item.get("inoperative", False)
        if type(inoperative) is not bool:
            raise wrong("not a boolean", f"{at}/inoperative", "true or false")
        texts = (item.get("info", ""), item.get("vendor_id", ""), item.get("vendor_error_code", ""))
        yield Fault(code, *texts, inoperative)


# NoError is the absence of errors, and LocalListConflict and ResetFailure are told by ocpphub itself.
_OURS: Final = (
    ChargePointErrorCode.NO_ERROR,
    ChargePointErrorCode.LOCAL_LIST_CONFLICT,
    ChargePointErrorCode.RESET_FAILURE,
)
_ERROR_CODES: Final = tuple(str(code) for code in ChargePointErrorCode if code not in _OURS)


@dataclass(frozen=True, slots=True)
class Objects:
    """The form with objects, none of which has been looked at."""

    rows: list[Any]

    def path(self, index: int) -> str:
        """Where a row stands in the parameters."""
        return f"/params/reports/{index}"

    def read(self, index: int, parse: Parse) -> Report:
        """One of the reports. Raises :class:`LocalError` as :func:`read_report`."""
        path, item = self.path(index), self.rows[index]
        if type(item) is not dict:
            raise wrong("not a report", path, 'an object with "connector_id"')
        return read_report(item, parse, path)


def read_many(params: Mapping[str, Any]) -> Objects | Columns:
    """The form of ``connector.report_many``; its rows are read one by one, as a bad one refuses itself only.

    Raises :class:`LocalError` for neither ``reports`` nor ``columns`` and ``rows``, both, or too many rows.
    """
    unknown = next((name for name in params if name not in ("reports", "columns", "rows", "charge_point")), None)
    if unknown is not None:
        raise wrong(f"unknown parameter {unknown[:50]}", f"/params/{unknown[:50]}", "reports, or columns and rows")
    if "reports" in params:
        if "columns" in params or "rows" in params:
            raise wrong("reports and columns", "/params", "reports, or columns and rows")
        return Objects(_rows(params["reports"], "/params/reports"))
    if "columns" not in params or "rows" not in params:
        raise wrong("nothing is reported", "/params", "reports, or columns and rows")
    return _read_columns(params["columns"], _rows(params["rows"], "/params/rows"))


def _rows(value: Any, path: str) -> list[Any]:
    if type(value) is not list:
        raise wrong("not an array", path, f"an array of at most {MAX_ROWS} rows")
    if len(value) > MAX_ROWS:
        raise LocalError("too_large", "too many rows", path=path, hint=f"at most {MAX_ROWS}")
    return value


_COLUMNS: Final = frozenset(("connector_id", "plugged", "plug_id", "ev_ready", "evse_ready", "energy_wh", "permit_seq"))


@dataclass(frozen=True, slots=True)
class Columns:
    """The form with columns: where each column is, and the rows, none of which has been looked at.

    ``plain`` are the fields of a report, ``places`` the cells of measurands, which ``descriptors`` say what they are
    of; ``has_register``: one of them is the import register and there is no column ``energy_wh``.
    """

    width: int
    plain: Mapping[str, int]
    places: tuple[int, ...]
    descriptors: tuple[Descriptor, ...]
    has_register: bool
    rows: list[Any]

    def path(self, index: int) -> str:
        """Where a row stands in the parameters."""
        return f"/params/rows/{index}"

    def read(self, index: int, parse: Parse) -> Report:
        """The report of one row. Raises :class:`LocalError` as :func:`read_report`, naming the row."""
        path, row = self.path(index), self.rows[index]
        if type(row) is not list or len(row) != self.width:
            raise wrong("not a row", path, f"an array of {self.width} values, null for what is not reported")
        report = read_report({name: row[at] for name, at in self.plain.items() if row[at] is not None}, parse, path)
        if self.places:
            report.readings = self.readings(row, path) or None
            if self.has_register and report.readings:
                report.energy_wh = register_of(report.readings)
        return report

    def readings(self, row: Sequence[Any], path: str) -> tuple[Reading, ...]:
        """What a row has measured. Raises :class:`LocalError` naming ``path`` and the measurand."""
        return row_readings(self.descriptors, [row[at] for at in self.places], path)


def _read_columns(columns: Any, rows: list[Any]) -> Columns:
    if type(columns) is not list:
        raise wrong("not an array of names", "/params/columns", "an array of column names")
    no_name = next((index for index, name in enumerate(columns) if type(name) is not str), None)
    if no_name is not None:
        raise wrong("not a name", f"/params/columns/{no_name}", "the name of a column")
    if "connector_id" not in columns or len(set(columns)) != len(columns):
        raise wrong("connector_id is missing or a name is there twice", "/params/columns", "different names")
    plain = {name: index for index, name in enumerate(columns) if name in _COLUMNS}
    measured = {index: _measurand(name, index) for index, name in enumerate(columns) if name not in _COLUMNS}
    has_register = any(map(is_register, measured.values())) and "energy_wh" not in plain
    return Columns(len(columns), plain, tuple(measured), tuple(measured.values()), has_register, rows)


def _measurand(name: str, index: int) -> Descriptor:
    """What the cells of a column ``Measurand`` or ``Measurand.Phase`` are of."""
    try:
        return column(name, f"/params/columns/{index}")
    except LocalError as error:
        hint = "one of " + ", ".join(sorted(_COLUMNS)) + f", or Measurand[.Phase], {error.hint}"
        raise wrong(error.message, error.path, hint) from None


def wrong(what: str, path: str, hint: str) -> LocalError:
    """A field that is not as it should be."""
    return LocalError("invalid_params", what, path=path, hint=hint)
