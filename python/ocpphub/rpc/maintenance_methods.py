"""DATA: the methods by which a controller says how far an installation is, and that its diagnostics are there.

Owns their names, their kinds and the texts that ``rpc.discover`` shows, as ``methods.py`` does. Must never know whom
the core has asked.

Implements: design rpc.md "Requests from the gateway to a client", ``firmware.report`` and ``diagnostics.report``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ocpphub.api import ChargePoint
from ocpphub.rpc.signature import Boolean, Method, Parameter, Text

if TYPE_CHECKING:
    from ocpphub.core.controllers import Controller

STATUSES: Final = ("Installing", "Installed", "InstallationFailed")


class Session(Protocol):
    """What a connection offers to these methods."""

    @property
    def controller(self) -> Controller: ...


def _firmware(session: Session, charge_point: ChargePoint, status: str, info: str | None) -> Any:
    return session.controller, status, info


def _diagnostics(session: Session, charge_point: ChargePoint, ok: bool, info: str | None) -> Any:
    return session.controller, ok, info


_INFO: Final = Parameter("info", Text(max=255), "a sentence for the log, at most 255 characters", required=False)
MAINTENANCE_ROWS: Final = (
    Method(
        "firmware.report",
        "controller",
        "controller",
        "Say how far the firmware is that a request firmware.install has asked this program to install; within 30"
        " minutes of the request or of the report before",
        {"type": "null"},
        (Parameter("status", Text(choices=STATUSES), "one of " + ", ".join(STATUSES)), _INFO),
        _firmware,
        command="firmware_report",
    ),
    Method(
        "diagnostics.report",
        "controller",
        "controller",
        "Say that the files are there which a request diagnostics.collect has asked for, or that there will be none;"
        " within 5 minutes",
        {"type": "null"},
        (Parameter("ok", Boolean(), "whether there are files"), _INFO),
        _diagnostics,
        command="diagnostics_report",
    ),
)
