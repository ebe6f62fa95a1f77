"""The shapes of results and values as the interface publishes them: types only.

Owns their names and members, which are part of version 1. Must never hold code.

Implements: design rpc.md "Interface commands" and "Interface variables".
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


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
