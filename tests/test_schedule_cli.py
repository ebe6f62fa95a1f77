"""`ocpphub schedule`: what is asked over the socket, what is printed, the exit codes, the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ocpphub import cli, schedule_cli
from tests.schedule_answers import (
    HOUR,
    START,
    FakeHub,
    allocation,
    allotted,
    answer,
    profile,
    schedule,
    source,
    stretch,
)

ROOT = Path(__file__).resolve().parents[1]
SHARED = allocation(allotted(16.0, 32.0), allotted(0.0, 0.0, reason="waiting"))
DAY = profile(10, (0, 16.0), (HOUR, 8.0), stack_level=2)
MAXIMUM = profile(11, (0, 40.0), purpose="ChargePointMaxProfile")
STRETCHES = [
    stretch(0, HOUR, 16.0, source(DAY), (source(MAXIMUM), "not_the_minimum"), ({"kind": "hardware"}, "new_reason")),
    stretch(HOUR, 4 * HOUR, 8.0, {"kind": "station"}),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def run(path: Path, *arguments: str) -> int:
    return cli.main(["schedule", *arguments, "--socket", str(path)])


def whole_hub(path: Path) -> FakeHub:
    """A hub of two connectors that answers all that a picture needs."""

    def get(connector_id: int, **_: Any) -> dict[str, Any]:
        return {"result": answer(connector_id, (0, 16.0), (HOUR, 8.0))}

    def profiles(connector_id: int, **_: Any) -> dict[str, Any]:
        return {"result": [] if connector_id else [DAY, MAXIMUM]}

    return FakeHub(
        path,
        {
            "schedule.get": get,
            "schedule.explain": STRETCHES,
            "schedule.profiles": profiles,
            "connector.get": {"connector_id": 1, "transaction": None},
            "connector.list": [{"connector_id": 1}, {"connector_id": 2}],
            "charge_point.get": {"identity": "HUB-1"},
            "allocation.get": SHARED,
        },
    )


# get


def test_schedule_get_prints_a_table_in_utc(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CORE-SC-38: start, end, limit with unit and phases; the window is a day and the unit the hub's choice."""
    hub = FakeHub(path, {"schedule.get": answer(1, (0, 16.0), (HOUR, 8.5)), "allocation.get": SHARED})
    assert run(path, "get", "1") == cli.DONE
    assert capsys.readouterr().out.splitlines() == [
        "composite schedule of connector 1",
        "start (UTC)          end (UTC)             limit  phases",
        "2030-01-31 10:30:00  2030-01-31 11:30:00  16.0 A       3",
        "2030-01-31 11:30:00  2030-01-31 14:30:00   8.5 A       3",
        "permit 16.0 A (claim 32.0 A, shared)",
    ]
    assert hub.calls == [("schedule.get", {"connector_id": 1, "duration_s": 86_400}), ("allocation.get", {})]


@pytest.mark.parametrize(
    ("connector_id", "unit", "shared", "line"),
    [
        (1, "W", SHARED, "permit 11040.0 W (claim 32.0 A, shared)"),
        (2, "A", SHARED, "permit 0.0 A (claim 0.0 A, waiting)"),
        (0, "A", SHARED, "claims 32.0 A of 40.0 A"),
        (
            0,
            "W",
            {**SHARED, "limit_a": None, "limit_w": 9e3, "claimed_w": 22_080.0},
            "claims 32.0 A, 22080.0 W of 9000.0 W",
        ),
        (0, "A", {**SHARED, "shortfall": True}, "claims 32.0 A of 40.0 A (shortfall)"),
        (0, "A", {**SHARED, "limit_a": None, "claimed_a": None}, "claims not told"),
    ],
)
def test_schedule_get_ends_with_permits_and_claims_of_now(
    connector_id: int, unit: str, shared: dict[str, Any], line: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """decisions.md 5: what is permitted beside what the schedule says, and for all connectors what is counted."""
    FakeHub(path, {"schedule.get": answer(connector_id, (0, 16.0), unit=unit), "allocation.get": shared})
    assert run(path, "get", str(connector_id)) == cli.DONE
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_schedule_get_without_energy_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """decisions.md 5: a permit of 0 A is a vehicle that waits; no permit is none that may have energy."""
    idle = allotted(0.0, 6.0, reason="unconfirmed")
    idle["permit"]["energize"] = False
    FakeHub(path, {"schedule.get": answer(1, (0, 16.0)), "allocation.get": allocation(idle)})
    assert run(path, "get", "1") == cli.DONE
    assert capsys.readouterr().out.splitlines()[-1] == "no permit (claim 6.0 A, unconfirmed)"


@pytest.mark.parametrize(
    ("start", "row"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00  0001-01-01 04:00:00  16.0 A       3"),
        ("9999-12-31T20:00:00Z", "9999-12-31 20:00:00  10000 or later  16.0 A       3"),
    ],
)
def test_schedule_get_prints_the_first_and_the_last_year(
    start: str, row: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SCA-06: years have four digits; the window that ends with 9999 ends in no year of the calendar."""
    FakeHub(path, {"schedule.get": {**answer(1, (0, 16.0)), "schedule_start": start}, "allocation.get": SHARED})
    assert run(path, "get", "1", "--at", start) == cli.DONE
    assert capsys.readouterr().out.splitlines()[2] == row


def test_schedule_get_asks_for_what_was_given(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SCA-23, SCA-35: window, unit and charge point go to the hub as they are; --json is its answer, with claims."""
    result = {**answer(0, (0, 11_040.0), unit="W"), "new_member": [1]}
    hub = FakeHub(path, {"schedule.get": result, "allocation.get": SHARED})
    options = ["--duration", "600", "--unit", "W", "--at", "2030-01-31T11:30:00+01:00", "--charge-point", "HUB-2"]
    assert run(path, "get", "0", *options, "--json") == cli.DONE
    head = {name: value for name, value in SHARED.items() if name != "connectors"}
    assert json.loads(capsys.readouterr().out) == {**result, "allocation": head}
    asked = {"connector_id": 0, "duration_s": 600, "unit": "W", "at": "2030-01-31T11:30:00+01:00"}
    assert hub.calls == [
        ("schedule.get", {**asked, "charge_point": "HUB-2"}),
        ("allocation.get", {"charge_point": "HUB-2"}),
    ]


def test_schedule_get_as_json_has_the_row_of_the_connector(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """decisions.md 5: for programs, as the hub tells it."""
    result = answer(1, (0, 16.0))
    FakeHub(path, {"schedule.get": result, "allocation.get": SHARED})
    assert run(path, "get", "1", "--json") == cli.DONE
    assert json.loads(capsys.readouterr().out) == {**result, "allocation": SHARED["connectors"]["1"]}


def test_schedule_get_that_is_refused_is_exit_code_1_and_names_the_field(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SCA-25: the hub's words, with the path of the parameter."""
    data = {"code": "unknown_connector", "path": "/params/connector_id", "hint": "0 to 4"}
    error = {"error": {"code": -32002, "message": "unknown connector", "data": data}}
    FakeHub(path, {"schedule.get": lambda **_: error})
    assert run(path, "get", "9") == cli.FAILED
    assert capsys.readouterr().err == "error: unknown_connector: unknown connector at /params/connector_id (0 to 4)\n"


@pytest.mark.parametrize("command", [["get", "1"], ["explain", "1"], ["plot", "-o", "x.svg"]])
def test_schedule_without_socket_is_exit_code_69(
    command: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CORE-SC-40: nobody to ask."""
    assert run(path, *command) == cli.NO_SOCKET
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "COMMAND"),
        (["get"], "CONNECTOR"),
        (["get", "-1"], "-1"),
        (["get", "one"], "one"),
        (["explain", "100001"], "100001"),
        (["get", "1", "--duration", "0"], "--duration"),
        (["get", "1", "--duration", "1.5"], "--duration"),
        (["get", "1", "--unit", "kW"], "--unit"),
        (["get", "1", "--at", "noon"], "--at"),
        (["get", "1", "--at", "2030-01-31T10:30:00"], "--at"),
        (["plot", "1"], "--output"),
        (["plot", "1", "-o", "picture.pdf"], ".svg nor .png"),
        (["plot", "1", "-o", "svg"], ".svg nor .png"),
    ],
)
def test_schedule_usage_error_is_exit_code_2_and_names_the_option(
    arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SCA-35: what cannot be meant is not sent."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["schedule", *arguments])
    assert caught.value.code == cli.USAGE
    assert names in capsys.readouterr().err


# explain


def test_schedule_explain_says_the_winner_and_why_the_others_lost(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CORE-SC-11, CORE-SC-08: purpose, id, level and owner in words; a reason of a newer hub is shown as it is."""
    FakeHub(path, {"schedule.explain": STRETCHES})
    assert run(path, "explain", "1") == cli.DONE
    assert capsys.readouterr().out.splitlines() == [
        "what decides the limit of connector 1",
        "2030-01-31 10:30:00 to 2030-01-31 11:30:00 UTC: 16.0 A, 3 phases",
        "    decided by TxDefaultProfile 10, level 2, on the whole charge point",
        "    not by ChargePointMaxProfile 11, level 0, on the whole charge point: is not the lowest limit",
        "    not by the limit of the connector: new_reason",
        "2030-01-31 11:30:00 to 2030-01-31 14:30:00 UTC: 8.0 A, 3 phases",
        "    decided by the limit of the station",
    ]


def test_schedule_explain_as_json_is_the_answer_of_the_hub(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CORE-SC-11: for programs."""
    FakeHub(path, {"schedule.explain": STRETCHES})
    assert run(path, "explain", "1", "--json") == cli.DONE
    assert json.loads(capsys.readouterr().out) == STRETCHES


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (source(profile(7, purpose="TxProfile", connector_id=3)), "TxProfile 7, level 0, on connector 3"),
        ({"kind": "hardware", "connector_id": 3}, "the limit of the connector (3)"),
        ({"kind": "default"}, "the default of the connector"),
        ({"kind": "connectors"}, "the sum of the connectors"),
        ({"kind": "external"}, "the limit that an energy manager has set"),
        ({"kind": "something_new"}, "something_new"),
    ],
)
def test_schedule_source_is_told_in_words(given: dict[str, Any], words: str) -> None:
    """CORE-SC-42: configured limits too."""
    assert schedule_cli.describe(given) == words


def test_schedule_heading_is_bold_on_a_terminal_only() -> None:
    """J-102: piped output holds no escape codes."""
    told = schedule_cli.Answer(None, "head", ["line"])
    assert told.text(coloured=False) == "head\nline\n"
    assert told.text(coloured=True) == "\x1b[1mhead\x1b[0m\nline\n"


# plot


def test_schedule_plot_of_a_connector_asks_for_one_window_and_writes_the_file(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CORE-SC-38: every question of a picture is about the window of the first answer."""
    hub = whole_hub(path)
    file = tmp_path / "picture.SVG"
    file.write_text("old")
    assert run(path, "plot", "1", "-o", str(file)) == cli.DONE
    assert capsys.readouterr().out == f"wrote {file}\n"
    assert 'id="source-10"' in file.read_text()
    assert "permit now: 16.0 A" in file.read_text()
    assert "claim now: 32.0 A" in file.read_text()
    assert [item.name for item in tmp_path.iterdir() if item != path] == ["picture.SVG"]
    window = {"at": START, "duration_s": 4 * HOUR, "unit": "A"}
    assert hub.calls[:4] == [
        ("schedule.get", {"connector_id": 1, "duration_s": 86_400}),
        ("schedule.explain", {"connector_id": 1, **window}),
        ("schedule.profiles", {"connector_id": 1}),
        ("schedule.profiles", {"connector_id": 0}),
    ]


@pytest.mark.parametrize("connector", [[], ["0"]])
def test_schedule_plot_of_the_whole_hub_asks_for_every_connector(
    connector: list[str], path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CORE-SC-39: connector 0 and the connectors that this client may see, over one window."""
    hub = whole_hub(path)
    file = tmp_path / "hub.png"
    assert run(path, "plot", *connector, "-o", str(file), "--json", "--charge-point", "HUB-1") == cli.DONE
    assert json.loads(capsys.readouterr().out) == {"file": str(file)}
    assert file.read_bytes().startswith(b"\x89PNG")
    got = [params for method, params in hub.calls if method == "schedule.get"]
    assert [params["connector_id"] for params in got] == [0, 1, 2]
    assert {params["charge_point"] for _, params in hub.calls} == {"HUB-1"}
    assert all(params["at"] == START and params["unit"] == "A" for params in got[1:])


def test_schedule_plot_of_another_time_has_no_marks_of_now(path: Path, tmp_path: Path) -> None:
    """decisions.md 5: permits and claims are those of the present, which the window of 2030 does not hold."""
    whole_hub(path)
    file = tmp_path / "hub.svg"
    assert run(path, "plot", "-o", str(file), "--at", START) == cli.DONE
    assert "now: " not in file.read_text()


def test_schedule_plot_counts_relative_profiles_from_the_transaction(path: Path, tmp_path: Path) -> None:
    """SCA-11: the start comes from the connector's state."""
    results = whole_hub(path)._results
    started = {"connector_id": 1, "transaction": {"start": "2030-01-31T10:00:00Z"}}
    relative = profile(5, (0, 6.0), (HOUR, 7.0), kind="Relative")
    hub = {
        **results,
        "connector.get": started,
        "schedule.profiles": lambda connector_id: {"result": [] if connector_id else [relative]},
    }

    def ask(method: str, **params: Any) -> Any:
        result = hub[method]
        return result(**params)["result"] if callable(result) else result

    options = cli.parser().parse_args(["schedule", "plot", "1", "-o", str(tmp_path / "x.svg")])
    shown = schedule_cli._connector(ask, options)
    (line,) = shown.bands[0].lines
    assert line.steps[0].end - line.steps[0].start == HOUR // 2


def test_schedule_plot_into_no_directory_is_exit_code_1(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """J-102: the file is named, nothing is left behind."""
    whole_hub(path)
    file = tmp_path / "none" / "x.svg"
    assert run(path, "plot", "-o", str(file)) == cli.FAILED
    assert capsys.readouterr().err == f"{file}: No such file or directory\n"


def test_schedule_plot_that_fails_keeps_the_old_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """J-102: the new picture replaces the old one only when it is whole."""
    from ocpphub import plot

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plot, "draw", full)
    whole_hub(path)
    file = tmp_path / "x.svg"
    file.write_text("old")
    assert run(path, "plot", "-o", str(file)) == cli.FAILED
    assert capsys.readouterr().err == f"{file}: No space left on device\n"
    assert (file.read_text(), len(list(tmp_path.iterdir()))) == ("old", 2)


def test_schedule_plot_without_matplotlib_is_exit_code_1_and_names_the_extra(path: Path, tmp_path: Path) -> None:
    """J-102: before anything is asked; get and explain need no matplotlib."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from ocpphub import cli\n"
        f"sys.exit(cli.main(['schedule', 'plot', '-o', {str(tmp_path / 'x.svg')!r}, '--socket', {str(path)!r}]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environment, check=False
    )
    assert done.returncode == cli.FAILED
    assert "pip install 'ocpphub[plot]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_schedule_get_loads_no_matplotlib(path: Path) -> None:
    """J-102: text is quick."""
    FakeHub(path, {"schedule.get": {**answer(1, (0, 16.0)), "schedule": schedule((0, 16.0))}, "allocation.get": SHARED})
    code = (
        "import sys; from ocpphub import cli\n"
        f"code = cli.main(['schedule', 'get', '1', '--socket', {str(path)!r}])\n"
        "sys.exit(code or 'matplotlib' in sys.modules or 'ocpphub.picture' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    assert subprocess.run([sys.executable, "-c", code], timeout=30, env=environment, check=False).returncode == 0
