"""The commands of the published interface that do not begin or end OCPP, and the reads (design rpc.md).

Owns how each of them is answered, as ``controller_commands.py`` does. Must never hold a rule of OCPP: these are in the
parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocpphub.core.controller_commands import ControllerCommands
from ocpphub.core.effects import Reply
from ocpphub.core.instant import Instant


class InterfaceCommands(ControllerCommands):
    """Commands and reads of a whole charge point, as the shell calls them."""

    def data_transfer(
        self, request: int, vendor_id: str, message_id: str | None, data: str | None, now: Instant
    ) -> None:
        """Send a DataTransfer. Effects: ``Send`` when its turn comes, ``Reply`` with the answer or ``Offline``."""
        self._refuse_while_stopped()
        is_online = self._parts.state.is_connected and self._parts.boot.gate == "open"
        self._parts.transfers.command(request, vendor_id, message_id, data, is_online=is_online)
        self._end(now)

    def set_custom_configuration_key(self, request: int, key: str, value: str, now: Instant) -> None:
        """Set a declared custom key. Effects: ``Store`` when it changes, ``Reply`` with a ConfigurationStatus."""
        self._effects.append(Reply(request, str(self._parts.configuration.set_custom(key, value))))

    def monitor_configuration_keys(self, request: int, keys: Sequence[str], now: Instant) -> None:
        """Publish changes of these keys from now on. Effects: ``Store`` of new monitors, ``Reply`` null."""
        self._parts.configuration.monitor(keys)
        self._replies.append(Reply(request, None))
        self._end(now)

    def security_event(self, request: int, type: str, info: str | None, now: Instant) -> None:
        """Deliver a security event, whatever happens. Effects: ``Store``, ``Reply`` null, ``Send`` when possible."""
        self._refuse_while_stopped()
        self._parts.security.command(type, info, now)
        self._effects.append(Reply(request, None))
        self._end(now)

    def security_log_cleared(self, request: int, info: str, now: Instant) -> None:
        """The shell found lines of the security log gone. Effects: ``Store``, ``Record``, ``Publish``, ``Reply``."""
        self._parts.security.internal("SecurityLogWasCleared", info, now)
        self._effects.append(Reply(request, None))
        self._end(now)

    # reads

    def get_configuration_key(self, keys: Sequence[str] | None = None) -> dict[str, Any]:
        """``{"configuration_keys": [{"key", "read_only", "value"?}], "unknown_keys": [...]}``; no keys means all.

        The rows are shared with later answers and must not be changed. Callers have checked that keys are texts.
        """
        return self._parts.configuration.get(keys or ())

    def state(self, now: Instant) -> dict[str, Any]:
        """The result of ``charge_point.get`` (rpc.md)."""
        return self._parts.state.value()

    def charging_schedules(self, now: Instant) -> bytes:
        """The value of ``charging_schedules`` beginning now, as JSON text."""
        return self._parts.schedules.publication.text(now)

    def watch_schedules(self, is_watched: bool, now: Instant) -> None:
        """Whether somebody listens to ``connector.schedule``; the shell says so, as with ``traces_frames``."""
        self._parts.schedules.publication.watch(is_watched, now)
