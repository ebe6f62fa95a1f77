"""The commands ``ocpphub schedule get|explain|plot``: what they ask the hub, and what a person reads.

Owns the questions, the tables and the sentences; exit codes and options are those of ``cli.py``. Must never compute a
limit: every number is the hub's.

Source: surface.md "Command line"; rpc.md "Schedules, station, records".
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from ocpphub.picture import ConnectorPicture, HubPicture, Window
    from ocpphub.rpc.client import Client

_BOLD: Final = ("\x1b[1m", "\x1b[0m")
_PLAIN: Final = ("", "")
WHY: Final = {
    "lower_stack_level": "a higher stack level has a period",
    "gap": "has no period then",
    "not_valid_yet": "is not valid yet",
    "expired": "is not valid any more",
    "hidden_by_own_default": "hidden by the connector's own default of that level",
    "overruled_by_tx_profile": "overruled by a TxProfile",
    "not_the_minimum": "is not the lowest limit",
}
"""Reason of a loser -> words; a reason that a newer hub gives is shown as it is."""

Ask = Callable[..., Any]
"""``Client.call``, with the charge point already named."""


class PictureError(Exception):
    """A picture cannot be drawn or written; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``result`` for ``--json``; ``head`` and ``lines`` for people."""

    result: Any
    head: str
    lines: Sequence[str] = ()

    def text(self, *, coloured: bool) -> str:
        """What is printed, with a bold first line where the terminal has colours."""
        begin, end = _BOLD if coloured else _PLAIN
        return "".join(f"{line}\n" for line in (f"{begin}{self.head}{end}", *self.lines))


def action(options: argparse.Namespace) -> Callable[[Client], Answer]:
    """The command that the options name, ready for a client.

    It raises what ``Client.call`` raises, and :class:`PictureError` when a file cannot be written. Raises
    :class:`PictureError` at once when a picture is wanted and there is no matplotlib.
    """
    command = {"get": get, "explain": explain, "plot": plot}[options.action]
    if command is plot:
        _plotting()

    def use(client: Client) -> Answer:
        ask: Ask = client.call
        if options.charge_point is not None:
            ask = partial(client.call, charge_point=options.charge_point)
        return command(ask, options)

    return use


# The three commands


def get(ask: Ask, options: argparse.Namespace) -> Answer:
    """A composite schedule as a table: start and end in UTC, limit, phases; and what of it is permitted at present."""
    answer = ask("schedule.get", **_question(options, options.connector))
    schedule = answer["schedule"]
    start = datetime.fromisoformat(answer["schedule_start"])
    periods, unit = schedule["chargingSchedulePeriod"], schedule["chargingRateUnit"]
    ends = [period["startPeriod"] for period in periods[1:]] + [schedule["duration"]]
    rows = [("start (UTC)", "end (UTC)", "limit", "phases")]
    for period, end in zip(periods, ends, strict=True):
        limit = f"{period['limit']:.1f} {unit}"
        phases = str(period.get("numberPhases", ""))
        rows.append((_clock(start, period["startPeriod"]), _clock(start, end), limit, phases))
    allocation = ask("allocation.get")
    if options.connector:
        present = allocation["connectors"][str(options.connector)]
        line = _permit(present, unit)
    else:
        present = {name: value for name, value in allocation.items() if name != "connectors"}
        line = _claims(present)
    title = _title(answer["connector_id"], "composite schedule")
    return Answer({**answer, "allocation": present}, title, [*_table(rows), line])


def explain(ask: Ask, options: argparse.Namespace) -> Answer:
    """For each stretch the limit, what decides it, and why nothing else does."""
    stretches = ask("schedule.explain", **_question(options, options.connector))
    return Answer(stretches, _title(options.connector, "what decides the limit"), list(_sentences(stretches)))


def plot(ask: Ask, options: argparse.Namespace) -> Answer:
    """Draw a connector, or the whole charge point where none (or 0) is given, and write the file."""
    draw = _plotting()
    picture = _connector(ask, options) if options.connector else _hub(ask, options)
    _write(options.output, lambda file: draw(picture, file, options.output.suffix.lower().removeprefix(".")))
    return Answer({"file": str(options.output)}, f"wrote {options.output}")


# Text


def _title(connector_id: int, what: str) -> str:
    return f"{what} of connector {connector_id}" if connector_id else f"{what} of the whole charge point (connector 0)"


def _clock(start: datetime, offset_s: int) -> str:
    try:
        moment = start.astimezone(UTC) + timedelta(seconds=offset_s)
        return moment.replace(tzinfo=None).isoformat(" ", "seconds")
    except OverflowError:  # the last window of the year 9999
        return "10000 or later"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    ]


def _permit(row: Mapping[str, Any], unit: str) -> str:
    """One connector of ``allocation.get``: what it is permitted at present, what is counted for it, and why."""
    permit = row["permit"]
    limit = permit["limit_a"] if unit == "A" else permit["limit_w"]
    told = f"permit {limit:.1f} {unit}" if permit["energize"] else "no permit"
    return f"{told} (claim {row['claim_a']:.1f} A, {row['reason']})"


def _claims(head: Mapping[str, Any]) -> str:
    """``allocation.get`` without its connectors: what all of them together may be drawing at present."""
    told = [
        f"{head[claimed]:.1f} {unit}" + ("" if head.get(limit) is None else f" of {head[limit]:.1f} {unit}")
        for claimed, limit, unit in (("claimed_a", "limit_a", "A"), ("claimed_w", "limit_w", "W"))
        if head.get(claimed) is not None
    ]
    return f"claims {', '.join(told) or 'not told'}{' (shortfall)' if head['shortfall'] else ''}"


def _sentences(stretches: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for stretch in stretches:
        start, end = (_clock(datetime.fromisoformat(stretch[name]), 0) for name in ("start", "end"))
        phases = f", {stretch['phases']} phase{'s'[: stretch['phases'] != 1]}" if stretch.get("phases") else ""
        yield f"{start} to {end} UTC: {stretch['limit']:.1f} {stretch['unit']}{phases}"
        yield f"    decided by {describe(stretch['winner'])}"
        for loser in stretch["losers"]:
            yield f"    not by {describe(loser['source'])}: {WHY.get(loser['why'], loser['why'])}"


def describe(source: Mapping[str, Any]) -> str:
    """A Source of ``schedule.explain`` in words."""
    kind, owner = source["kind"], source.get("connector_id")
    if kind == "profile":
        on = "the whole charge point" if owner == 0 else f"connector {owner}"
        return f"{source['purpose']} {source['charging_profile_id']}, level {source['stack_level']}, on {on}"
    words = {
        "hardware": "the limit of the connector",
        "station": "the limit of the station",
        "default": "the default of the connector",
        "connectors": "the sum of the connectors",
        "external": "the limit that an energy manager has set",
    }
    return f"{words.get(kind, kind)} ({owner})" if owner else str(words.get(kind, kind))


# Pictures


def _plotting() -> Callable[[ConnectorPicture | HubPicture, Any, str], None]:
    try:
        from ocpphub import plot as drawing
    except ImportError as error:
        raise PictureError(
            f"a picture needs the extra `plot` ({error}): python -m pip install 'ocpphub[plot]'"
        ) from None
    return drawing.draw


def _connector(ask: Ask, options: argparse.Namespace) -> ConnectorPicture:
    from ocpphub import picture

    connector_id = options.connector
    answer, question = _whole(ask, options, connector_id)
    stretches = ask("schedule.explain", connector_id=connector_id, **question)
    profiles = [profile for owner in (connector_id, 0) for profile in ask("schedule.profiles", connector_id=owner)]
    transaction = ask("connector.get", connector_id=connector_id)["transaction"]
    start_s = picture.seconds(transaction["start"]) if transaction else None
    title = f"{_identity(ask)}, connector {connector_id}"
    window = picture.window_of(answer)
    row = ask("allocation.get")["connectors"][str(connector_id)]
    marks = picture.connector_marks(row, window, _now_s(options, window))
    return picture.connector_picture(title, answer, stretches, profiles, start_s, marks)


def _hub(ask: Ask, options: argparse.Namespace) -> HubPicture:
    from ocpphub import picture

    answer, question = _whole(ask, options, 0)
    stretches = ask("schedule.explain", connector_id=0, **question)
    profiles = ask("schedule.profiles", connector_id=0)
    schedules = {}
    for state in ask("connector.list"):
        connector_id = state["connector_id"]
        schedules[connector_id] = ask("schedule.get", connector_id=connector_id, **question)["schedule"]
    title = f"{_identity(ask)}, {len(schedules)} connectors"
    window = picture.window_of(answer)
    marks = picture.hub_marks(ask("allocation.get"), window, _now_s(options, window))
    return picture.hub_picture(title, answer, stretches, profiles, schedules, marks)


def _now_s(options: argparse.Namespace, window: Window) -> int:
    """Now in seconds since 1970: where no time was given, the hub has begun the window with it."""
    return window.start_s if options.at is None else int(datetime.now(UTC).timestamp())


def _question(options: argparse.Namespace, connector_id: int) -> dict[str, Any]:
    """The parameters of a question about one connector; what was not given is the hub's to choose."""
    given = {"connector_id": connector_id, "duration_s": options.duration, "unit": options.unit, "at": options.at}
    return {name: value for name, value in given.items() if value is not None}


def _whole(ask: Ask, options: argparse.Namespace, connector_id: int) -> tuple[Any, dict[str, Any]]:
    """The composite schedule, and its window as parameters for whatever else belongs into the same picture."""
    answer = ask("schedule.get", **_question(options, connector_id))
    schedule = answer["schedule"]
    unit, duration_s = schedule["chargingRateUnit"], schedule["duration"]
    return answer, {"at": answer["schedule_start"], "duration_s": duration_s, "unit": unit}


def _identity(ask: Ask) -> str:
    return str(ask("charge_point.get")["identity"])


def _write(path: Path, fill: Callable[[Any], None]) -> None:
    """Fill a file beside ``path`` and move it there: whoever looks sees the old picture or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with beside.open("xb") as file:
                fill(file)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
