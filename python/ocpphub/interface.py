"""The shapes of arguments, results and values as the interface publishes them.

Owns their names and members, which are part of version 1, and what is refused because it has no such shape. Must never
hold a rule of OCPP.

Implements: design rpc.md "Interface commands" and "Interface variables".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NotRequired, TypedDict

from ocpphub.errors import LocalError


class KeyValue(TypedDict):
    """One configuration key; a secret or unset one has no ``value``."""

    key: str
    read_only: bool
    value: NotRequired[str]


class ConfigurationKeys(TypedDict):
    """The result of ``get_configuration_key``."""

    configuration_keys: list[KeyValue]
    unknown_keys: list[str]


class DataTransferResult(TypedDict):
    """The result of ``data_transfer``; ``status`` ``Offline`` when the CSMS could not be asked."""

    status: str
    data: NotRequired[str]


class SecurityEvent(TypedDict):
    """A value of the variable ``security_event``."""

    type: str
    info: NotRequired[str]


def names_of(keys: Iterable[str]) -> list[str]:
    """The keys as a list of texts. Raises :class:`LocalError` for anything else."""
    if isinstance(keys, str):
        raise LocalError("invalid_params", "keys is one string", path="/params/keys", hint="a list of strings")
    names = list(keys)
    if not all(isinstance(name, str) for name in names):
        raise LocalError("invalid_params", "keys is not a list of strings", path="/params/keys")
    return names
