"""ocpphub: the OCPP 1.6-J charge point of a charging hub, with a JSON-RPC socket and this Python API.

The public names are loaded when they are first used, so that importing the package costs next to nothing; the core and
the WebSocket library come with :class:`Hub` only.

    Hub, ChargePoint, Variable     a hub inside this process (surface.md "Python")
    Client, AsyncClient            a client of a running hub's socket, stdlib only
    OcpphubError > LocalError, PeerError, UnavailableError
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocpphub.errors import LocalError, OcpphubError, PeerError, UnavailableError

if TYPE_CHECKING:
    from ocpphub.api import ChargePoint, Hub, Variable
    from ocpphub.rpc.client import AsyncClient, Client

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "ChargePoint",
    "Client",
    "Hub",
    "LocalError",
    "OcpphubError",
    "PeerError",
    "UnavailableError",
    "Variable",
    "__version__",
]

_HOMES = {
    "AsyncClient": "ocpphub.rpc.client",
    "ChargePoint": "ocpphub.api",
    "Client": "ocpphub.rpc.client",
    "Hub": "ocpphub.api",
    "Variable": "ocpphub.api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    if home == "ocpphub.api":
        from ocpphub import checkout

        checkout.warn()
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
