"""The URL that goes with a security profile."""

from __future__ import annotations

import pytest

from ocpphub.core.security_profile import needs_tls, url_for


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("ws://csms.example/ocpp", "wss://csms.example/ocpp"),
        ("ws://csms.example:80/ocpp?a=b", "wss://csms.example/ocpp?a=b"),
        ("ws://csms.example:/ocpp", "wss://csms.example/ocpp"),
        ("WS://csms.example:8080", "wss://csms.example:8080"),
        ("ws://csms.example:443/", "wss://csms.example:443/"),
        ("ws://[::80]/ocpp", "wss://[::80]/ocpp"),
        ("ws://[::80]:80/ocpp", "wss://[::80]/ocpp"),
        ("wss://csms.example:80/ocpp", "wss://csms.example:80/ocpp"),
        ("wss://csms.example/ocpp", "wss://csms.example/ocpp"),
    ],
)
def test_profiles_with_tls_switch_the_scheme_and_keep_a_port_that_is_not_the_default(
    configured: str, expected: str
) -> None:
    """S-106, S-168."""
    assert [url_for(configured, profile) for profile in (2, 3)] == [expected] * 2


@pytest.mark.parametrize("configured", ["ws://csms.example:80/ocpp", "wss://csms.example/ocpp"])
def test_profiles_without_tls_leave_the_configured_scheme_alone(configured: str) -> None:
    """S-106."""
    assert [url_for(configured, profile) for profile in (0, 1)] == [configured] * 2


def test_only_profiles_2_and_3_need_tls() -> None:
    """S-102."""
    assert [needs_tls(profile) for profile in range(4)] == [False, False, True, True]
