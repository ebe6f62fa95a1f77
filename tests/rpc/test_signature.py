"""How a request is bound to a signature; the kinds themselves are tested through the methods that use them."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.errors import LocalError
from ocpphub.rpc.methods import METHODS
from ocpphub.rpc.signature import nearest


def refusal(method: str, **params: Any) -> LocalError:
    with pytest.raises(LocalError) as caught:
        METHODS[method].bind(params)
    return caught.value


def test_parameter_that_is_unknown_is_named_with_the_nearest_one() -> None:
    """T12"""
    error = refusal("data_transfer", vendor_id="v", mesage_id="m")

    assert (error.path, error.hint) == ("/params/mesage_id", "did you mean message_id")


def test_parameter_that_is_unknown_beside_a_charge_point_is_named() -> None:
    assert refusal("rpc.use", charge_point="CP1", x=1).path == "/params/x"
    assert refusal("stop", charge_point="CP1", x=1).path == "/params/x"


def test_parameter_with_an_endless_name_is_not_echoed() -> None:
    error = refusal("stop", **{"x" * 10_000: 1})

    assert len(str(error)) < 300


def test_value_of_a_closed_list_that_is_wrong_gets_the_nearest() -> None:
    assert refusal("get_variable", name="is_conected").hint == "did you mean is_connected"


def test_nearest_of_a_long_word_is_not_searched() -> None:
    assert nearest("is_connected" * 100, ["is_connected"]) == ""
