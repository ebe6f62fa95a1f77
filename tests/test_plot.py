"""The drawn picture: what is in the SVG, the same bytes each time, and no display."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ocpphub import picture
from tests.schedule_answers import HOUR, START_S, allocation, allotted, answer, profile, schedule, source, stretch

plot = pytest.importorskip("ocpphub.plot", reason="needs the extra `plot`")
SVG = "{http://www.w3.org/2000/svg}"


def connector_picture() -> picture.ConnectorPicture:
    day = profile(10, (0, 16.0), (HOUR, 8.0), duration=2 * HOUR)
    top = profile(11, (0, 20.0), purpose="ChargePointMaxProfile")
    hardware = {"kind": "hardware"}
    rows = [
        stretch(0, HOUR, 16.0, source(day)),
        stretch(HOUR, 2 * HOUR, 8.0, source(day)),
        stretch(2 * HOUR, 4 * HOUR, 20.0, source(top), (hardware, "not_the_minimum")),
    ]
    composite = answer(1, (0, 16.0), (HOUR, 8.0), (2 * HOUR, 20.0))
    return picture.connector_picture("HUB $1$, connector 1", composite, rows, [top, day], None)


def hub_picture() -> picture.HubPicture:
    schedules = {1: schedule((0, 16.0), (HOUR, 8.0)), 2: schedule((0, 32.0))}
    rows = [stretch(0, 4 * HOUR, 40.0, {"kind": "station"})]
    return picture.hub_picture("HUB-1, 2 connectors", answer(0, (0, 40.0)), rows, [], schedules)


def drawn(shown: picture.ConnectorPicture | picture.HubPicture, file_format: str = "svg") -> bytes:
    file = io.BytesIO()
    plot.draw(shown, file, file_format)
    return file.getvalue()


def texts(svg: bytes) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314


def groups(svg: bytes) -> dict[str, str]:
    """Id of a group -> the path drawn in it."""
    return {
        name: path.get("d", "")
        for node in ElementTree.fromstring(svg).iter(f"{SVG}g")  # noqa: S314
        if (name := node.get("id")) and (path := node.find(f".//{SVG}path")) is not None
    }


def test_plot_of_a_connector_draws_composite_winners_and_a_line_for_each_source() -> None:
    """CORE-SC-11: the composite, whom it follows, and the sources with the stretches that they decide."""
    svg = drawn(connector_picture())
    wanted = {"composite", "winner-1", "winner-2", "source-10", "won-10", "source-11", "won-11"}
    assert wanted <= groups(svg).keys()
    words = texts(svg)
    assert "HUB $1$, connector 1: composite schedule from 2030-01-31 10:30:00 UTC" in words
    assert {"TxDefault 10", "ChargePointMax 11", "10 (connector 0)", "11 (level 0)", "11:00"} <= set(words)


def test_plot_of_a_connector_draws_every_corner_of_the_composite() -> None:
    """CORE-SC-38: three periods are two verticals between three horizontals."""
    path = groups(drawn(connector_picture()))["composite"]
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]
    pairs = list(pairwise(points))
    assert [left[0] == right[0] for left, right in pairs] == [False, True, False, True, False]
    heights = [points[0][1], points[2][1], points[4][1]]
    assert heights[1] > heights[0] > heights[2]  # 8 A lies below 16 A lies below 20 A


def test_plot_marks_permit_and_claim_of_now_with_a_legend() -> None:
    """decisions.md 5: what is permitted and counted at this moment, in a connector's picture and in the hub's."""
    shown = connector_picture()
    marks = picture.connector_marks(allotted(6.0, 10.0), shown.window, START_S)
    svg = drawn(replace(shown, marks=marks))
    assert {"permit now: 6.0 A", "claim now: 10.0 A"} <= set(texts(svg))
    assert b'id="permit-now"' in svg
    assert b'id="claim-now"' in svg
    assert not {"permit now: 6.0 A", "composite"} & set(texts(drawn(shown)))
    hub = hub_picture()
    told = picture.hub_marks(allocation(allotted(6.0, 10.0), allotted(8.5, 8.5)), hub.window, START_S + HOUR)
    words = set(texts(drawn(replace(hub, marks=told))))
    assert {"all permits now: 14.5 A", "claims now: 18.5 A", "connector 0"} <= words


def test_plot_has_room_for_a_claim_above_every_limit() -> None:
    """decisions.md 5: in a shortfall the claims are above what is drawn beside them."""
    shown = connector_picture()
    high = replace(shown, marks=picture.connector_marks(allotted(6.0, 90.0), shown.window, START_S))
    with_claim, without = (groups(drawn(each))["composite"] for each in (high, shown))
    assert with_claim != without  # the axis is another one


def test_plot_lifts_the_pen_in_a_gap() -> None:
    """SCA-01: where a profile has no period there is no line."""
    first, second = (profile(1, kind="Recurring", recurrency_kind="Daily", duration=HOUR) for _ in range(2))
    long = answer(1, (0, 16.0), duration=2 * 86_400)
    shown = picture.connector_picture("T", long, [], [first], None)
    assert groups(drawn(shown))["source-1"].count("M") == 2
    single = picture.connector_picture("T", answer(1, (0, 16.0)), [], [second], None)
    assert groups(drawn(single))["source-1"].count("M") == 1


def test_plot_of_a_hub_stacks_the_connectors_below_composite_and_bound() -> None:
    """CORE-SC-39: a layer each, connector 0 and what bounds it."""
    svg = drawn(hub_picture())
    assert {"composite", "bound", "layer-1", "layer-2"} <= groups(svg).keys()
    assert {"connector 0", "bound", "connector 2", "connector 1"} <= set(texts(svg))


def test_plot_of_a_hub_without_a_bound_names_none() -> None:
    """SCA-15: nothing in the legend that is not drawn."""
    free = picture.hub_picture("T", answer(0, (0, 16.0)), [], [], {1: schedule((0, 16.0))})
    assert "bound" not in texts(drawn(free))


@pytest.mark.parametrize("shown", [connector_picture(), hub_picture()], ids=["connector", "hub"])
@pytest.mark.parametrize("file_format", ["svg", "png"])
def test_plot_twice_gives_the_same_bytes(
    shown: picture.ConnectorPicture | picture.HubPicture, file_format: str
) -> None:
    """CORE-SC-38: no date, no random ids, whatever matplotlibrc says."""
    import matplotlib

    first = drawn(shown, file_format)
    with matplotlib.rc_context({"svg.hashsalt": None, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert drawn(shown, file_format) == first
    assert first.startswith(b"\x89PNG" if file_format == "png" else b"<?xml")
    assert b"dc:date" not in first


def test_plot_needs_no_display_and_no_backend() -> None:
    """CORE-SC-38: pyplot, which chooses a backend, is never loaded."""
    drawn(hub_picture())
    assert "matplotlib.pyplot" not in sys.modules


def test_plot_of_nothing_but_zero_is_still_a_picture() -> None:
    """SCA-16: a limit of 0 is legal; the axis keeps a height."""
    zero = picture.connector_picture("T", answer(1, (0, 0.0)), [], [], None)
    assert "composite" in groups(drawn(zero))


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (5, ["10:30:00", "10:30:05"]),
        (600, ["10:30", "10:40"]),
        (86_400, ["12:00", "00:00\n2030-02-01", "10:00"]),
        (7 * 86_400, ["2030-02-01"]),
        (400 * 86_400, ["2030-02-15"]),
    ],
)
def test_plot_time_axis_has_round_times_of_utc(duration: int, expected: list[str]) -> None:
    """CORE-SC-26: a day begins at midnight UTC on the axis."""
    window = picture.Window(1_896_085_800, 1_896_085_800 + duration, "A")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    plot._time_axis(axes, window)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert set(expected) <= set(labels)
    assert len(labels) <= 14


def test_plot_reaches_the_last_second_of_the_calendar() -> None:
    """SCA-06: a window that ends with the year 9999."""
    late = {**answer(1, (0, 16.0), duration=HOUR), "schedule_start": "9999-12-31T23:00:00Z"}
    assert "10000-01-01" in " ".join(texts(drawn(picture.connector_picture("T", late, [], [], None))))
