"""Rules that join keys: security and scheme, electrical limits, overrides, custom keys, feeders, roles."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub import config, config_read
from ocpphub.config_table import CHILDREN, TABLES
from tests.test_config import MINIMAL, problems, write


def keys(found: list[str]) -> list[str]:
    return [line.partition(": ")[0].removeprefix("charge_point[0].") for line in found]


def charge_point(identity: str = "HUB-1", url: str = "ws://h/ocpp", extra: str = "") -> str:
    text = MINIMAL.replace("HUB-1", identity).replace("ws://127.0.0.1:9000/ocpp", url)
    return text + extra


def key_file(folder: Path) -> None:
    path = folder / "key"
    path.touch(0o600)
    path.write_text("00" * 16)


@pytest.mark.parametrize("profile", [1, 2])
def test_identity_with_colon_is_refused_where_http_basic_carries_it(tmp_path: Path, profile: int) -> None:
    """J-145: the user id of HTTP Basic ends at the first colon."""
    extra = f'[charge_point.security]\nprofile = {profile}\nauthorization_key_file = "key"\nuse_system_ca = true\n'
    key_file(tmp_path)
    (found,) = problems(tmp_path, charge_point("DE:1", "wss://h/", extra))
    assert "cannot carry" in found


def test_identity_with_colon_is_allowed_without_http_basic(tmp_path: Path) -> None:
    """J-145: profile 0 sends no user id."""
    assert config.load(write(tmp_path, charge_point("DE:1"))).charge_points[0].identity == "DE:1"


def test_identity_longer_than_48_characters_is_only_warned(tmp_path: Path) -> None:
    """J-107: the limit is one of OCPP 2.0.1."""
    settings = config.load(write(tmp_path, charge_point("x" * 49)))
    assert "48" in settings.warnings[0]
    assert config.load(write(tmp_path, charge_point("x" * 48))).warnings == ()


def test_profile_2_over_plain_websocket_is_refused(tmp_path: Path) -> None:
    """S-106: profiles 2 and 3 require wss."""
    key_file(tmp_path)
    extra = '[charge_point.security]\nprofile = 2\nauthorization_key_file = "key"\n'
    assert keys(problems(tmp_path, charge_point(extra=extra))) == ["security.profile"]


def test_profile_3_names_both_missing_files_and_the_missing_trust(tmp_path: Path) -> None:
    """S-135: certificate and key belong together; S-137: nothing is trusted by default."""
    found = problems(tmp_path, charge_point(url="wss://h/", extra="[charge_point.security]\nprofile = 3\n"))
    assert keys(found) == ["security.client_certificate_file", "security.client_key_file", "security.ca_file"]


def test_profile_1_without_key_file_is_refused(tmp_path: Path) -> None:
    """J-141: profiles 1 and 2 need the key before the first connection."""
    found = problems(tmp_path, charge_point(extra="[charge_point.security]\nprofile = 1\n"))
    assert keys(found) == ["security.authorization_key_file"]


@pytest.mark.parametrize(
    ("electrical", "expected"),
    [
        ("phases = 3", ["electrical.connector_max_a"]),
        ("connector_max_a = 32\nconnector_max_w = 1000", ["electrical.connector_max_w"]),
        ("connector_max_a = 16\nfallback_current_a = 20", ["electrical.fallback_current_a"]),
        ('connector_max_a = "x"', ["electrical.connector_max_a"]),
    ],
)
def test_electrical_limits_contradict_each_other(tmp_path: Path, electrical: str, expected: list[str]) -> None:
    """The hardware limit is given once, and nothing lies above it."""
    text = charge_point().replace("connector_max_a = 32", electrical)
    assert keys(problems(tmp_path, text)) == expected


def test_overrides_of_connectors_that_overlap_or_do_not_exist_are_refused(tmp_path: Path) -> None:
    """CORE-GEN-03: connectors are 1 to N and each has one override at most."""
    extra = '[[charge_point.connector]]\nids = "1-3"\n[[charge_point.connector]]\nids = [3, 9]\n'
    assert keys(problems(tmp_path, charge_point(extra=extra))) == ["connector[1].ids", "connector[1].ids"]


def test_override_leaves_what_it_does_not_name(tmp_path: Path) -> None:
    """Absent fields of an override are None."""
    extra = '[[charge_point.connector]]\nids = "2"\nphases = 1\nrotation = "RST"\nfree_vend_id_tag = "FREE"\n'
    (override,) = config.load(write(tmp_path, charge_point(extra=extra))).charge_points[0].connector_overrides
    assert (override.ids, override.phases, override.rotation, override.connector_max_a) == ((2,), 1, "RST", None)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("HeartbeatIntervall = 3", "did you mean HeartbeatInterval?"),
        ("NumberOfConnectors = 3", "derived"),
        ('AuthorizationKey = "00"', "authorization_key_file"),
        ('CpoName = "a"\ncponame = "b"', "twice"),
        ("CpoName = 1979-05-27", "date"),
    ],
)
def test_configuration_key_that_cannot_be_set_is_refused_with_the_reason(tmp_path: Path, line: str, what: str) -> None:
    """S-151: the key never stands in the file; CORE-GEN-08: names compare case-insensitively."""
    (found,) = problems(tmp_path, charge_point(extra=f"[charge_point.configuration]\n{line}\n"))
    assert what in found


def test_configuration_values_become_ocpp_text_under_the_standard_spelling(tmp_path: Path) -> None:
    """CORE-GEN-08: a key in another case is the same key."""
    extra = '[charge_point.configuration]\nheartbeatinterval = 300\nLocalPreAuthorize = true\nCpoName = "é"\n'
    (point,) = config.load(write(tmp_path, charge_point(extra=extra))).charge_points
    assert point.configuration == {"HeartbeatInterval": "300", "LocalPreAuthorize": "true", "CpoName": "é"}


def test_custom_keys_are_read_with_type_and_range(tmp_path: Path) -> None:
    """T11: only declared keys exist."""
    extra = '[charge_point.custom_keys.Tariff]\nvalue = 5\ntype = "integer"\nmin = 0\nmax = 9\nreboot = true\n'
    (point,) = config.load(write(tmp_path, charge_point(extra=extra))).charge_points
    assert point.custom_keys == (config.CustomKey("Tariff", "5", "integer", False, True, 0, 9),)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('HeartbeatInterval]\nvalue = "1"', "standard key"),
        ('"' + "x" * 51 + '"]\nvalue = "1"', "1 to 50"),
        ("K]\nvalue = 5\ntype = 'integer'\nmax = 4", "min and max"),
        ("K]\nvalue = 'a'\nmax = 4", "do not fit"),
        ("K]\nvalue = 5\ntype = 'integer'\nmin = 9\nmax = 4", "above max"),
        ("K]\ntype = 'text'\nvalue = ''", "string, integer"),
        ("K]\ntype = 'string'", "is missing"),
        ("K]\nvalue = 'a'\n[charge_point.custom_keys.k]\nvalue = 'b'", "twice"),
    ],
)
def test_custom_key_that_contradicts_itself_is_refused(tmp_path: Path, table: str, what: str) -> None:
    """T11: a custom key is no standard key; CORE-GEN-08: names differ by more than case."""
    (found,) = problems(tmp_path, charge_point(extra=f"[charge_point.custom_keys.{table}\n"))
    assert what in found


def test_charge_points_share_neither_identity_nor_socket(tmp_path: Path) -> None:
    """J-108: the identity is a property of one connection."""
    one = charge_point().replace("connectors = 4", 'connectors = 4\nsocket = "/run/x"')
    assert keys(problems(tmp_path, one + one)) == ["charge_point[1].identity", "charge_point[1].socket"]


def test_file_without_charge_point_is_refused(tmp_path: Path) -> None:
    """There is nothing to connect."""
    assert problems(tmp_path, "") == [
        "charge_point: no charge point is configured; allowed: at least one [[charge_point]]"
    ]


@pytest.mark.parametrize(
    "text",
    ["hub = 1\n", "charge_point = 1\n", "feeder = 'x'\n", "rpc = [1]\n", "[[charge_point]]\nelectrical = 3\n"],
)
def test_table_of_the_wrong_shape_is_a_problem_and_no_crash(tmp_path: Path, text: str) -> None:
    """T38: whatever TOML holds, the answer is a list of problems."""
    assert any("table" in line for line in problems(tmp_path, text))


def test_feeders_form_a_tree_over_existing_connectors(tmp_path: Path) -> None:
    """Members are charge_point:range, and the identity may hold a colon."""
    feeders = """
[[feeder]]
name = "site"
limit_a = 400
[[feeder]]
name = "row"
limit_w = 22000
parent = "site"
members = ["DE:1:1-2", "DE:1:4"]
"""
    site, row = config.load(write(tmp_path, charge_point("DE:1", extra=feeders))).feeders
    assert (site.limit_a, site.parent, site.members) == (400, None, ())
    assert row.members == (("DE:1", (1, 2)), ("DE:1", (4,)))


@pytest.mark.parametrize(
    ("feeders", "expected"),
    [
        ("name = 'a'", ["feeder[0].limit_a"]),
        ("name = 'a'\nlimit_a = 1\nlimit_w = 1", ["feeder[0].limit_w"]),
        ("name = 'a'\nlimit_a = 1\nparent = 'b'", ["feeder[0].parent"]),
        ("name = 'a'\nlimit_a = 1\nparent = 'a'", ["feeder[0].parent"]),
        ("name = 'a'\nlimit_a = 1\nmembers = ['HUB-2:1']", ["feeder[0].members"]),
        ("name = 'a'\nlimit_a = 1\nmembers = ['HUB-1:4-5']", ["feeder[0].members"]),
        ("name = 'a'\nlimit_a = 1\nmembers = ['HUB-1:1', 'HUB-1:1-2']", ["feeder[0].members"]),
        ("name = 'a'\nlimit_a = 1\n[[feeder]]\nname = 'a'\nlimit_a = 2", ["feeder[1].name"]),
    ],
)
def test_feeders_that_are_no_tree_over_existing_connectors_are_refused(
    tmp_path: Path, feeders: str, expected: list[str]
) -> None:
    """One limit each, known parents without cycles, existing members, each once."""
    assert keys(problems(tmp_path, charge_point(extra=f"[[feeder]]\n{feeders}\n"))) == expected


def test_feeders_in_a_circle_are_refused_at_each_of_them(tmp_path: Path) -> None:
    """T38: a circle of parents has no root."""
    text = "[[feeder]]\nname='a'\nlimit_a=1\nparent='b'\n[[feeder]]\nname='b'\nlimit_a=1\nparent='a'\n"
    assert keys(problems(tmp_path, charge_point(extra=text))) == ["feeder[0].parent", "feeder[1].parent"]


def test_roles_name_a_user_or_a_group(tmp_path: Path) -> None:
    """T03: a principal is a uid or a gid, and may hold a range of connectors."""
    good = '[[rpc.role]]\nrole = "controller"\nuid = 1000\nconnectors = "1-2"\n'
    settings = config.load(write(tmp_path, charge_point(extra=good)))
    assert settings.rpc.roles == (config.Role("controller", 1000, None, (1, 2)),)
    bad = '[[rpc.role]]\nrole = "root"\nuid = 1\ngid = 2\n[[rpc.role]]\nrole = "monitor"\n'
    assert keys(problems(tmp_path, charge_point(extra=bad))) == [
        "rpc.role[0].role",
        "rpc.role[0].gid",
        "rpc.role[1].uid",
    ]


SCALARS: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=60), st.dates()),
    st.lists(st.integers(), max_size=3),
)
NAMES = {key.name for keys in TABLES.values() for key in keys} | {name for row in CHILDREN.values() for name in row}


def tables(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(NAMES)) | st.text(max_size=8), inner, max_size=6)


VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | tables(inner), max_leaves=30)


@settings(deadline=None, max_examples=300)
@given(raw=tables(VALUES), environ=st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=2))
def test_file_of_any_content_is_read_or_refused_but_never_crashes(raw: dict[str, Any], environ: dict[str, str]) -> None:
    """T38: whatever a file holds, the answer is settings or a list of problems."""
    environ = {f"OCPPHUB_CHARGE_POINT__{name}": text for name, text in environ.items()}
    with contextlib.suppress(config.ConfigError):
        assert config_read.read(raw, Path("hub.toml"), environ).charge_points


@settings(deadline=None, max_examples=200)
@given(path=st.sampled_from(sorted(TABLES)), data=st.data())
def test_one_bad_value_is_reported_at_its_own_key(path: str, data: st.DataObject) -> None:
    """T38: a wrong value is reported where it stands."""
    raw = tomllib.loads(MINIMAL)
    key = data.draw(st.sampled_from(TABLES[path]))
    table: Any = raw
    above, at = "", ""
    for name in path.split("."):
        kind = CHILDREN[above][name]
        above, at = (f"{above}.{name}", f"{at}.{name}") if above else (name, name)
        table = table.setdefault(name, [{}] if kind == "tables" else {})
        if kind == "tables":
            table, at = table[0], f"{at}[0]"
        elif kind == "named":
            table, at = table.setdefault("K", {}), f"{at}.K"
    table[key.name] = {"a": "table is never right"}
    with pytest.raises(config.ConfigError) as caught:
        config_read.read(raw, Path("hub.toml"), {})
    assert f"{at}.{key.name}" in [problem.key for problem in caught.value.problems]
