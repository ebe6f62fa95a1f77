"""Single values: ranges, endpoints, identities, durations, connector ids, initial OCPP values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocpphub import config_values
from ocpphub.config_table import TABLES, Key

BASE = Path("/etc/ocpphub")


def key(path: str, name: str) -> Key:
    return next(key for key in TABLES[path] if key.name == name)


@pytest.mark.parametrize(
    "url",
    ["ws://h", "ws://h/ocpp", "ws://h/ocpp/", "wss://h:443/ocpp?t=1", "WSS://[::1]:8443/", "ws://10.0.0.1:80/a/b"],
)
def test_endpoint_with_or_without_path_slash_and_query_is_kept(url: str) -> None:
    """J-103, J-106: path, trailing slash and query of the endpoint are the file's business."""
    assert config_values.convert(key("charge_point", "csms_url"), url, BASE) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("wss://h/ocpp#x", "fragment"),
        ("http://h/ocpp", "ws://"),
        ("h/ocpp", "ws://"),
        ("ws:///ocpp", "host"),
        ("ws://h:99999/", "port"),
        ("ws://h:0/", "port"),
        ("ws://h/a b", "host"),
        ("ws://user:key@h/", "password"),
        ("ws://[::1/", "host"),
        ("ws://h/\n", "control"),
        (7, "an integer"),
    ],
)
def test_endpoint_that_cannot_be_dialled_is_refused(url: Any, why: str) -> None:
    """J-106: a fragment is refused at configuration time; J-102: scheme ws or wss; J-147: no user info."""
    with pytest.raises(ValueError, match=why):
        config_values.convert(key("charge_point", "csms_url"), url, BASE)


@pytest.mark.parametrize("identity", ["RDAM 123", "DE*ABC*E1", "é|/?#%", "x" * 60, "a:b"])
def test_identity_of_any_printable_text_is_accepted(identity: str) -> None:
    """J-107: 48 characters is no limit of OCPP 1.6; encoding belongs to the link."""
    assert config_values.convert(key("charge_point", "identity"), identity, BASE) == identity


@pytest.mark.parametrize("identity", ["", ".", "..", "a\x00b", "a\nb", "\x7f", 5, None])
def test_identity_that_is_no_path_segment_is_refused(identity: Any) -> None:
    """J-107: non-empty, no control characters, not "." or ".."."""
    with pytest.raises(ValueError, match=r".+"):
        config_values.convert(key("charge_point", "identity"), identity, BASE)


@pytest.mark.parametrize("value", [True, "30", float("nan"), float("inf"), -1, 90_000])
def test_seconds_outside_their_range_are_refused(value: Any) -> None:
    """T38: durations are finite numbers within their row's range."""
    with pytest.raises(ValueError, match=r".+"):
        config_values.convert(key("hub", "publish_interval_s"), value, BASE)


def test_seconds_may_be_fractions() -> None:
    """A duration in seconds need not be whole."""
    assert config_values.convert(key("charge_point.link", "pong_timeout_s"), 0.5, BASE) == 0.5


def test_path_is_taken_from_the_directory_of_the_file_and_bounded() -> None:
    """T01: a socket path that the kernel would cut is refused beforehand."""
    socket = key("hub", "socket")
    assert config_values.convert(socket, "run/hub.sock", BASE) == Path("/etc/ocpphub/run/hub.sock")
    assert config_values.convert(socket, "/" + "x" * 106, BASE) == Path("/" + "x" * 106)
    for bad in ("/" + "x" * 107, "", "a\0b"):
        with pytest.raises(ValueError, match=r".+"):
            config_values.convert(socket, bad, BASE)


@pytest.mark.parametrize(
    ("value", "ids"),
    [(7, (7,)), ("1-3,5", (1, 2, 3, 5)), ([2, "4-5"], (2, 4, 5)), (" 3 , 1 ", (1, 3)), ("2-2", (2,))],
)
def test_connector_ids_of_id_list_or_range(value: Any, ids: tuple[int, ...]) -> None:
    """CORE-GEN-03: ranges name connectors from 1."""
    assert config_values.connector_ids(value) == ids


@pytest.mark.parametrize("value", [0, "0-3", "5-3", "", "a", "1-", [], True, 1.5, "1-1000000", 100_001])
def test_connector_ids_that_cannot_exist_are_refused(value: Any) -> None:
    """CORE-GEN-04: connector 0 is the charge point and no member of a range."""
    with pytest.raises(ValueError, match=r".+"):
        config_values.connector_ids(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(300, "300"), (True, "true"), (0.5, "0.5"), (1e-7, "0.0000001"), (["A", "B"], "A,B"), ("x", "x"), ([], "")],
)
def test_initial_value_is_written_as_ocpp_writes_it(value: Any, text: str) -> None:
    """CORE-GC-02: configuration values are text in OCPP."""
    assert config_values.ocpp_text(value) == text


@pytest.mark.parametrize("value", ["x" * 501, float("inf"), {"a": 1}, [{"a": 1}], "a\nb"])
def test_initial_value_that_ocpp_cannot_carry_is_refused(value: Any) -> None:
    """CORE-GC-06: at most 500 characters, no tables."""
    with pytest.raises(ValueError, match=r".+"):
        config_values.ocpp_text(value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("integer", 5, "5"),
        ("integer", "-5", "-5"),
        ("decimal", 1.5, "1.5"),
        ("boolean", "TRUE", "true"),
        ("list", [1], "1"),
    ],
)
def test_custom_value_of_its_type_is_accepted(kind: str, value: Any, text: str) -> None:
    """CORE-CC-09: a custom key's initial value has the type it declares."""
    assert config_values.custom_value(kind, value, -10, 10) == text


@pytest.mark.parametrize(
    ("kind", "value"), [("integer", 11), ("integer", "1.0"), ("decimal", "1e1"), ("decimal", -10.5), ("boolean", "yes")]
)
def test_custom_value_of_another_type_or_out_of_range_is_refused(kind: str, value: Any) -> None:
    """CORE-CC-09: neither another type nor a number outside min and max."""
    with pytest.raises(ValueError, match=r".+"):
        config_values.custom_value(kind, value, -10, 10)


@pytest.mark.parametrize(
    ("value", "listen"), [("off", None), ("127.0.0.1:9464", "127.0.0.1:9464"), ("m.sock/x", "/etc/ocpphub/m.sock/x")]
)
def test_metrics_address_is_off_host_and_port_or_a_path(value: str, listen: str | None) -> None:
    """T38: what is neither is refused (next test)."""
    assert config_values.convert(key("metrics", "listen"), value, BASE) == listen


def test_hosts_of_transfers_are_kept_in_lower_case() -> None:
    """T33: the host allow-list."""
    hosts = ["Files.Example", "192.0.2.7", "2001:DB8::1"]
    assert config_values.convert(key("firmware", "hosts"), hosts, BASE) == ("files.example", "192.0.2.7", "2001:db8::1")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("metrics", "listen", "host"),
        ("metrics", "listen", "h:0"),
        ("firmware", "hook", "a shell line"),
        ("firmware", "hook", ["a\0"]),
        ("firmware", "hook", []),
        ("firmware", "unsigned", "yes"),
        ("firmware", "hosts", "files.example"),
        ("firmware", "hosts", []),
        ("firmware", "hosts", ["files.example/x"]),
        ("firmware", "hosts", ["-files.example"]),
        ("firmware", "max_bytes_per_s", 0),
        ("feeder", "members", ["HUB"]),
        ("feeder", "members", "HUB:1"),
        ("charge_point", "vendor", ""),
        ("charge_point", "vendor", "x" * 21),
        ("charge_point", "connectors", 1.0),
        ("charge_point", "connectors", True),
        ("hub", "schedule_unit", "V"),
        ("hub", "schedule_unit", 1),
    ],
)
def test_value_of_the_wrong_kind_is_refused_and_what_is_allowed_is_known(path: str, name: str, value: Any) -> None:
    """T34: a hook is program and arguments, never a shell line; T38: strict kinds everywhere."""
    with pytest.raises(ValueError, match=r".+"):
        config_values.convert(key(path, name), value, BASE)
    assert config_values.allowed(key(path, name))


def test_every_key_says_what_it_accepts() -> None:
    """T38: an error always has something to offer."""
    assert [row.name for keys in TABLES.values() for row in keys if not config_values.allowed(row)] == []


def test_every_default_is_accepted_by_its_own_row() -> None:
    """T38: a default outside its range would be refused when written down."""
    rows = [row for keys in TABLES.values() for row in keys if row.default not in (None, ())]
    for row in rows:
        config_values.convert(row, row.default, BASE)
    assert len(rows) > 30
