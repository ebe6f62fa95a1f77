"""Draws the picture of a charging schedule with matplotlib (extra ``plot``): SVG or PNG, no display needed.

Owns colours, axes and labels. The same picture gives the same bytes (fixed ids, no date), whatever the user's own
matplotlibrc says. Must never ask the hub; ``picture.py`` says what is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import IO, Any, Final

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ocpphub.picture import Band, ConnectorPicture, HubPicture, Mark, Step, Steps, Window, cut

COLOURS: Final = {
    "ChargePointMaxProfile": "#b3261e",
    "TxProfile": "#1f5fa8",
    "TxDefaultProfile": "#2e7d32",
    "configured": "#6b6b6b",
}
_OTHER: Final = "#8e24aa"
_LAYERS: Final = (
    *("#4c78a8", "#f2a65a", "#6aa56f", "#c76b6b", "#8c7bb5", "#a58a6f", "#d49ac0"),
    *("#c9b458", "#5fb0b7", "#7a8f3c", "#b0577f", "#3f5f8a", "#9aa0a6"),
)
_MARKS: Final = {"permit": ("o", "#1b5e20", 6), "claim": ("_", "#b3261e", 18)}
_DASHES: Final = ("-", "--", ":", "-.")
_STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "ocpphub",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "font.size": 9,
}
_NO_DATE: Final = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
_TICKS_S: Final = (
    *(1, 5, 15, 60, 300, 900, 3_600, 7_200, 10_800, 21_600, 43_200),
    *(days * 86_400 for days in (1, 2, 7, 30, 90)),
)
_MAX_TICKS: Final = 12
_WIDE: Final = 0.07
"""The share of the window from which on a stretch has room for the name of its winner."""


def draw(picture: ConnectorPicture | HubPicture, file: IO[bytes], file_format: str) -> None:
    """Write the picture into ``file`` as ``svg`` or ``png``; raises ``OSError`` when that fails."""
    with matplotlib.style.context(["default", _STYLE]):
        figure = _connector(picture) if isinstance(picture, ConnectorPicture) else _hub(picture)
        figure.savefig(file, format=file_format, dpi=120, metadata=_NO_DATE[file_format])


def _connector(picture: ConnectorPicture) -> Figure:
    """The composite schedule above, a band for each source below."""
    count = len(picture.bands)
    figure = Figure(figsize=(10, 3.2 + 1.3 * count), layout="constrained")
    heights = [2.4] + [1.0] * count
    top, *rows = figure.subplots(count + 1, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    window = picture.window
    for number, winner in enumerate(picture.winners, 1):
        colour = COLOURS.get(winner.kind, _OTHER)
        decided = [part for stretch in winner.steps for part in cut(picture.composite, stretch)]
        _fill(top, decided, window, f"winner-{number}", colour)
        _label(top, winner.name, winner.steps, window, colour)
    _line(top, picture.composite, window, "composite", color="black", linewidth=2.6)
    _mark(top, picture.marks, window)
    if picture.marks:
        top.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    top.set_title(f"{picture.title}: composite schedule from {_moment(window.start_s)} UTC", fontweight="bold")
    _limits(top, window.unit)
    for axes, band in zip(rows, picture.bands, strict=True):
        _band(axes, band, window)
    _time_axis(rows[-1] if rows else top, window)
    return figure


def _band(axes: Axes, band: Band, window: Window) -> None:
    colour = COLOURS.get(band.kind, _OTHER)
    for index, line in enumerate(band.lines):
        _fill(axes, line.won, window, f"won-{line.key}", colour)
        style = _DASHES[index % len(_DASHES)]
        _line(axes, line.steps, window, f"source-{line.key}", color=colour, linestyle=style, label=line.name)
    axes.set_title(f"{band.name} (filled where it decides)" if band.kind != "configured" else band.name)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _limits(axes, band.unit)


def _hub(picture: HubPicture) -> Figure:
    """The connectors stacked, the composite of connector 0 and its bound above them."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots()
    window = picture.window
    edges = sorted({step.start for layer in picture.layers for step in layer.steps} | {window.end_s})
    floor = [0.0] * (len(edges) - 1)
    for index, layer in enumerate(picture.layers):
        level = [below + limit for below, limit in zip(floor, _sampled(layer.steps, edges), strict=True)]
        x = [second - window.start_s for pair in pairwise(edges) for second in pair]
        low, high = ([value for value in values for _ in (0, 1)] for values in (floor, level))
        colour = _LAYERS[index % len(_LAYERS)]
        area = axes.fill_between(x, low, high, color=colour, linewidth=0, alpha=0.75, label=layer.name)
        area.set_gid(f"layer-{index + 1}")
        floor = level
    if picture.bound:
        _line(axes, picture.bound, window, "bound", color="#b3261e", linestyle="--", linewidth=1.6, label="bound")
    _line(axes, picture.composite, window, "composite", color="black", linewidth=2.6, label="connector 0")
    _mark(axes, picture.marks, window)
    axes.set_title(f"{picture.title}: composite schedules from {_moment(window.start_s)} UTC", fontweight="bold")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, reverse=True)
    _limits(axes, window.unit)
    _time_axis(axes, window)
    return figure


# Parts


def _sampled(steps: Steps, edges: list[int]) -> Iterable[float]:
    """The limit between each two edges, which hold every edge of the steps."""
    rest = iter(steps)
    step = next(rest, None)
    for edge in edges[:-1]:
        while step is not None and step.end <= edge:
            step = next(rest, None)
        yield step.limit if step is not None and step.start <= edge else 0.0


def _points(steps: Iterable[Step], window: Window) -> tuple[list[float], list[float]]:
    """The corners of a step line; a gap is a NaN, where matplotlib lifts the pen."""
    x: list[float] = []
    y: list[float] = []
    edge = None
    for step in steps:
        if edge is not None and step.start != edge:
            x.append(edge - window.start_s)
            y.append(math.nan)
        x += (step.start - window.start_s, step.end - window.start_s)
        y += (step.limit, step.limit)
        edge = step.end
    return x, y


def _line(axes: Axes, steps: Iterable[Step], window: Window, gid: str, **style: Any) -> None:
    (line,) = axes.plot(*_points(steps, window), solid_joinstyle="miter", **style)
    line.set_gid(gid)


def _mark(axes: Axes, marks: Iterable[Mark], window: Window) -> None:
    """Values of now; at the edge of the window they are drawn whole."""
    for mark in marks:
        shape, colour, size = _MARKS[mark.key]
        style: dict[str, Any] = {"marker": shape, "markersize": size, "markeredgewidth": 2.2, "linestyle": "none"}
        (drawn,) = axes.plot([mark.at_s - window.start_s], [mark.value], label=mark.name, color=colour, **style)
        drawn.set(gid=f"{mark.key}-now", clip_on=False, zorder=5)


def _fill(axes: Axes, steps: Iterable[Step], window: Window, gid: str, colour: str) -> None:
    x, y = _points(steps, window)
    axes.fill_between(x, y, color=colour, alpha=0.25, linewidth=0).set_gid(gid)


def _label(axes: Axes, name: str, steps: Steps, window: Window, colour: str) -> None:
    """The winner's name at the foot of its stretch, where there is room for it."""
    if not steps:
        return
    start, end = steps[0].start - window.start_s, steps[-1].end - window.start_s
    if end - start >= _WIDE * (window.end_s - window.start_s):
        place = axes.get_xaxis_transform()
        axes.text((start + end) / 2, 0.03, name, color=colour, ha="center", va="bottom", transform=place, clip_on=True)


def _limits(axes: Axes, unit: str) -> None:
    axes.set_ylabel(unit, rotation=0, ha="right", va="center")
    top = axes.dataLim.y1
    axes.set_ylim(0, top * 1.08 if math.isfinite(top) and top > 0 else 1)
    axes.grid(axis="both", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _time_axis(axes: Axes, window: Window) -> None:
    """Ticks at round times of UTC, with the date where a day begins."""
    length = window.end_s - window.start_s
    every = next((step for step in _TICKS_S if length / step <= _MAX_TICKS), length)
    seconds = range(-(-window.start_s // every) * every, window.end_s + 1, every)
    axes.set_xlim(0, length)
    axes.set_xticks([second - window.start_s for second in seconds], [_tick(second, every) for second in seconds])
    axes.set_xlabel("UTC")


def _tick(second: int, every: int) -> str:
    moment = _moment(second)
    date, _, clock = moment.partition(" ")
    if every % 86_400 == 0:
        return date
    text = clock if every < 60 else clock[:5]
    return f"{text}\n{date}" if clock == "00:00:00" else text


def _moment(second: int) -> str:
    try:
        return (datetime(1970, 1, 1) + timedelta(seconds=second)).isoformat(" ", "seconds")
    except OverflowError:
        return "10000-01-01 00:00:00"
