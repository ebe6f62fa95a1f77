"""`ocpphub schedule get|explain|plot` against a running hub."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .charging import Station, daily, far, limit_of_all, open_station, profile, seconds
from .conftest import cli, point

SVG = "{http://www.w3.org/2000/svg}"
WINDOW = ("--at", far(), "--duration", "7200")


@pytest.fixture(scope="module")
def hub() -> Iterator[Station]:
    """One stock of profiles for all tests of this file, which only look."""
    with open_station(3) as opened:
        opened.put(0, limit_of_all(1, (0, 60)), profile(2, (0, 20), level=0))
        opened.put(1, daily(3, (0, 10), (1800, 12.5, 1), start=far(-86_400 + 3600), duration=3000, level=1))
        opened.put(2, profile(4, (0, 8280), unit="W"))
        yield opened


def run(hub: Station, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return cli("schedule", *arguments, "--socket", str(hub.hub.socket), timeout=30, **options)


def done(hub: Station, *arguments: str, **options: Any) -> str:
    """The output of a command that must succeed without a word of complaint."""
    result = run(hub, *arguments, **options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


# -- get and explain -------------------------------------------------------------------------------


@pytest.mark.parametrize("connector_id", ["0", "1", "2"])
def test_user_gets_a_schedule_as_json(hub: Station, connector_id: str) -> None:
    """surface.md Command line `--json`: the result of the call as it is and what is permitted, one text on one line."""
    output = done(hub, "get", connector_id, *WINDOW, "--unit", "W", "--json")
    assert output.count("\n") == 1
    call = {"connector_id": int(connector_id), "duration_s": 7200, "unit": "W", "at": far()}
    result = json.loads(output)
    shared = hub.rpc.call("allocation.get")
    rows = shared.pop("connectors")
    assert result.pop("allocation") == rows.get(connector_id, shared)
    assert result == hub.rpc.call("schedule.get", **call)


def test_user_gets_a_schedule_as_a_table(hub: Station) -> None:
    """surface.md Command line: start, end, limit with unit, phases; one row for each period; no colour when piped."""
    output = done(hub, "get", "1", *WINDOW)
    assert "\x1b" not in output
    rows = [line for line in output.splitlines() if "A" in line and any(c.isdigit() for c in line) and "." in line]
    for time_of_day, limit in (("00:00:00", "20.0"), ("01:00:00", "10.0"), ("01:30:00", "12.5"), ("01:50:00", "20.0")):
        assert any(time_of_day in row and limit in row for row in rows), (time_of_day, limit, output)


def test_user_gets_what_is_asked_for_and_defaults_are_a_day_from_now(hub: Station) -> None:
    """docs/reference/command-line.md: --duration 86400, --unit the first allowed, --at now."""
    answer = json.loads(done(hub, "get", "1", "--json"))
    assert answer["schedule"]["duration"] == 86_400
    assert answer["schedule"]["chargingRateUnit"] == "A"
    other = json.loads(done(hub, "get", "1", "--json", "--at", "2040-01-02T01:00:00+01:00", "--charge-point", "HUB-1"))
    assert seconds(other["schedule_start"]) == seconds(far())


def test_user_is_explained_a_limit_as_json(hub: Station) -> None:
    """surface.md `schedule explain`, rpc.md `schedule.explain`: as it is."""
    output = done(hub, "explain", "1", *WINDOW, "--json")
    assert output.count("\n") == 1
    assert json.loads(output) == hub.rpc.call("schedule.explain", connector_id=1, duration_s=7200, at=far())


def test_user_is_explained_a_limit_in_words(hub: Station) -> None:
    """decisions.md 5 explain: the period, its source, and a reason for every other profile."""
    output = done(hub, "explain", "1", *WINDOW)
    assert "\x1b" not in output
    for word in ("20.0", "10.0", "12.5", "TxDefaultProfile", "ChargePointMaxProfile"):
        assert word in output
    for charging_profile_id in (1, 2, 3):
        assert str(charging_profile_id) in output
    assert len(output.splitlines()) >= 4
    assert done(hub, "explain", "0", *WINDOW)


def test_user_pipes_with_colour_switched_off_and_on(hub: Station) -> None:
    """surface.md: no colour when piped, NO_COLOR."""
    plain = done(hub, "get", "1", *WINDOW)
    assert done(hub, "get", "1", *WINDOW, env={"NO_COLOR": "1", "TERM": "xterm-256color"}) == plain


@pytest.mark.parametrize("command", ["get", "explain"])
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["one"],
        ["1.5"],
        ["1", "2"],
        ["1", "--unit", "kW"],
        ["1", "--duration", "long"],
        ["1", "--duration"],
        ["1", "--colour"],
    ],
    ids=str,
)
def test_user_types_what_cannot_be_understood_and_exits_2(hub: Station, command: str, arguments: list[str]) -> None:
    """surface.md exit codes: 2 usage."""
    result = run(hub, command, *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "usage" in result.stderr.lower()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["4"], "connector_id"),
        (["-1"], "connector"),
        (["1", "--at", "yesterday"], "at"),
        (["1", "--duration", "0"], "duration"),
        (["1", "--duration", "99999999999"], "duration"),
        (["1", "--charge-point", "HUB-9"], "charge_point"),
    ],
    ids=str,
)
def test_user_asks_for_what_is_not_there_and_is_told_the_field(hub: Station, arguments: list[str], word: str) -> None:
    """surface.md exit codes: 1 the answer was an error (2 where the command itself saw it); the message names it."""
    # The picture asks as the others do; once is enough for it, since its library takes a second to load.
    for command in ("get", "explain", "plot") if arguments == ["4"] else ("get", "explain"):
        result = run(hub, command, *arguments, *(["-o", "/dev/null/x.svg"] if command == "plot" else []))
        assert result.returncode in {1, 2}, result
        assert result.stdout == ""
        assert word.replace("_", "") in result.stderr.lower().replace("_", "").replace("-", "").replace(" ", "")
        assert "Traceback" not in result.stderr


def test_user_asks_where_no_hub_is_and_exits_69(tmp_path: Path) -> None:
    """surface.md exit codes: 69 no socket."""
    for arguments in (["get", "1"], ["explain", "1"], ["plot", "-o", str(tmp_path / "a.svg")]):
        result = cli("schedule", *arguments, "--socket", str(tmp_path / "none.sock"))
        assert result.returncode == 69, result
        assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_user_looks_for_help() -> None:
    """surface.md: each subcommand has help; `schedule` alone is usage."""
    assert cli("schedule").returncode == 2
    assert cli("schedule", "fly").returncode == 2
    for command in ("get", "explain", "plot"):
        assert cli("schedule", command, "--help").returncode == 0


def test_user_with_two_charge_points_says_which(hub: Station) -> None:
    """rpc.md `charge_point`: its absence is an error that lists them."""
    other = hub.rig.hub(point("HUB-1"), point("HUB-2")).start()
    ambiguous = cli("schedule", "get", "1", "--socket", str(other.socket))
    assert ambiguous.returncode == 1
    assert "HUB-1" in ambiguous.stderr
    assert "HUB-2" in ambiguous.stderr
    assert cli("schedule", "get", "1", "--socket", str(other.socket), "--charge-point", "HUB-2").returncode == 0
    other.stop()


# -- plot ------------------------------------------------------------------------------------------


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG whose every chunk and whose pixels are whole."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, pixels, names = 8, b"", []
    width = height = 0
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert zlib.crc32(name + body) == struct.unpack(">I", data[position + 8 + length : position + 12 + length])[0]
        names.append(name)
        if name == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        elif name == b"IDAT":
            pixels += body
        position += 12 + length
    assert (names[0], names[-1], position) == (b"IHDR", b"IEND", len(data))
    assert len(zlib.decompress(pixels)) >= width * height
    return width, height


def test_user_draws_a_connector_and_the_hub_as_svg(hub: Station, tmp_path: Path) -> None:
    """surface.md `schedule plot`, issue 3 Explain: well-formed, the same twice, nothing else left behind."""
    pictures = {}
    for name, arguments in (("one.svg", ["1"]), ("hub.svg", []), ("again.svg", ["1"])):
        path = tmp_path / name
        done(hub, "plot", *arguments, "-o", str(path), *WINDOW)
        # Which number a clip path has in a picture says nothing about what one sees.
        pictures[name] = re.sub(r"\bp[0-9a-f]{10}\b", "clip", path.read_text())
        root = ElementTree.fromstring(pictures[name])  # noqa: S314 - our own picture
        assert root.tag == f"{SVG}svg"
        assert len(root.findall(f".//{SVG}path")) > 5
    assert pictures["one.svg"] == pictures["again.svg"]
    assert pictures["one.svg"] != pictures["hub.svg"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(pictures)


def test_user_draws_a_png_over_an_older_file(hub: Station, tmp_path: Path) -> None:
    """docs/reference/command-line.md: the picture replaces a file of that name; the suffix decides, in any case."""
    path = tmp_path / "hub.png"
    path.write_text("older")
    done(hub, "plot", "-o", str(path), *WINDOW, "--unit", "W")
    width, height = png_size(path.read_bytes())
    assert width >= 400
    assert height >= 300
    assert [p.name for p in tmp_path.iterdir()] == ["hub.png"]


@pytest.mark.parametrize("name", ["hub.pdf", "hub", "hub.svg.gz", ".svg", "hub.jpeg"])
def test_user_names_another_kind_of_file_and_exits_2(hub: Station, tmp_path: Path, name: str) -> None:
    """docs/reference/command-line.md: SVG or PNG by the suffix, anything else is usage and names both."""
    result = run(hub, "plot", "1", "-o", str(tmp_path / name))
    assert result.returncode == 2
    assert ".svg" in result.stderr
    assert ".png" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_user_names_no_file_and_exits_2(hub: Station) -> None:
    """surface.md exit codes: -o is required."""
    assert run(hub, "plot", "1").returncode == 2


def test_user_draws_where_nothing_can_be_written_and_exits_1(hub: Station, tmp_path: Path) -> None:
    """docs/reference/command-line.md: a picture could not be written."""
    result = run(hub, "plot", "1", "-o", str(tmp_path / "no" / "such" / "a.svg"), *WINDOW)
    assert result.returncode == 1
    assert "a.svg" in result.stderr
    assert "Traceback" not in result.stderr
    directory = tmp_path / "dir.svg"
    directory.mkdir()
    result = run(hub, "plot", "1", "-o", str(directory), *WINDOW)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [directory]
