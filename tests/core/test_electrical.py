"""The configured limits as whole thousandths, and what refuses them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.core.electrical import electrical_problems, max_powers_mw, new_profiles, thousandths
from ocpphub.errors import LocalError
from tests.builders import electrical, override, settings

LIMITS: dict[str, Any] = {"max_stack_level": 10, "max_periods": 100, "max_installed": 10, "units": "AW"}


def limit(point: Any, connector_id: int, unit: str = "A") -> tuple[float, int]:
    """The one limit of a connector without profiles, and its phases."""
    schedule = orjson.loads(new_profiles(point, **LIMITS).composite(connector_id, 0, 60, unit))
    (period,) = schedule["chargingSchedulePeriod"]
    return period["limit"], period["numberPhases"]


@pytest.mark.parametrize(
    ("value", "whole"),
    [(230.0, 230_000), (230.94, 230_940), (0.1, 100), (0.001, 1), (1e10, 10**13), (32, 32_000), (0.0005, None),
     (230.9401, None), (1e-7, None)],
)  # fmt: skip
def test_number_of_the_file_is_taken_as_it_is_written(value: float, whole: int | None) -> None:
    """SCA-22: no rounding on the way in."""
    assert thousandths(value) == whole


def test_limits_of_the_file_are_the_schedule_without_profiles() -> None:
    """SCA-15, SCA-16: hardware, default, station."""
    point = settings(electrical=electrical(connector_max_a=32.125, station_max_a=50.0))
    assert limit(point, 1) == (32.1, 3)
    assert limit(point, 0) == (50.0, 3)
    assert limit(settings(electrical=electrical(connector_default_a=6.5)), 1) == (6.5, 3)


def test_limits_of_an_override_replace_the_usual_ones() -> None:
    """SCA-16: a maximum in W takes the place of one in A, what is not named stays."""
    overrides = (override([2], connector_max_w=2_300.0, phases=1), override([3], connector_default_a=10.0))
    point = settings(connector_overrides=overrides)
    assert [limit(point, 1), limit(point, 2), limit(point, 3)] == [(32.0, 3), (10.0, 1), (10.0, 3)]
    assert limit(settings(connector_overrides=(override([1], nominal_voltage_v=100.0),)), 1, "W") == (9_600.0, 3)


def test_limits_with_too_many_decimals_are_named_with_what_is_allowed() -> None:
    """T38: the key, the value, and what would be right."""
    point = settings(
        electrical=electrical(nominal_voltage_v=230.1234, station_max_w=0.5),
        connector_overrides=(override([1]), override([2], connector_max_a=1.23456)),
    )
    found = electrical_problems(point)
    assert [problem.key for problem in found] == ["electrical.nominal_voltage_v", "connector[1].connector_max_a"]
    assert "230.1234" in found[0].what
    assert "three decimals" in found[0].allowed
    with pytest.raises(LocalError, match="three decimals"):
        new_profiles(point, **LIMITS)


def test_limits_that_do_not_add_up_exactly_are_refused() -> None:
    """SCA-22: exact by construction, or not at all."""
    voltages = [override([i], nominal_voltage_v=200.0 + i + i / 1000) for i in range(1, 101)]
    point = settings(connectors=100, connector_overrides=tuple(voltages))
    (problem,) = electrical_problems(point)
    assert problem.key == "electrical"
    assert "voltage" in problem.what
    with pytest.raises(LocalError, match="voltage"):
        new_profiles(point, **LIMITS)


@pytest.mark.parametrize(
    "point",
    [
        settings(electrical=electrical(nominal_voltage_v=None)),
        settings(electrical=electrical(connector_max_a=None)),
        settings(electrical=electrical(connector_max_w=1_000.0)),
        settings(connectors=None),
        settings(connector_overrides=(override([1], connector_max_a=1.0, connector_max_w=1.0),)),
    ],
)
def test_limits_that_the_reader_has_refused_are_not_judged_again(point: Any) -> None:
    """T38: each mistake is told once."""
    assert electrical_problems(point) == []


def test_limits_of_a_hub_of_ten_thousand_are_taken() -> None:
    """CORE-GEN-03: also of overrides for connectors that are refused elsewhere."""
    point = settings(connectors=10_000, connector_overrides=(override([9_999, 10_001], connector_max_a=16.0),))
    assert electrical_problems(point) == []
    assert [limit(point, 9_998), limit(point, 9_999)] == [(32.0, 3), (16.0, 3)]


def test_max_powers_are_those_of_the_connectors_and_their_sum() -> None:
    """CORE-MV-09: the main meter may see all of them at once."""
    overrides = (override([2], connector_max_w=3_600.5), override([3], connector_max_a=16.0, phases=1))
    point = settings(connector_overrides=overrides)
    assert max_powers_mw(point) == [22_080_000 + 3_600_500 + 3_680_000, 22_080_000, 3_600_500, 3_680_000]
