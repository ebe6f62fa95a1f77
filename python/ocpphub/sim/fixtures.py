"""Fixtures for people who test a controller against ocpphub; pytest finds them by the entry point ``pytest11``.

Owns the names ``ocpphub_*`` and the marker ``ocpphub``. Must never cost anything where they are not used: everything
but pytest is imported inside a fixture. They need no plugin for asyncio: hub and CSMS run beside the test, and what is
asynchronous is an ``async with`` of the test's own loop.

    @pytest.mark.ocpphub(connectors=2, personality="slow")
    async def test_my_controller(ocpphub_hub, ocpphub_csms, ocpphub_station): ...

Arguments of the marker: ``personality`` (accept_all, slow, drops_answers, refuses_tags, deduplicates), ``seed``,
``connectors``, ``identity``, ``configuration`` (OCPP keys), ``toml`` (further tables of hub.toml).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from ocpphub.rpc.client import AsyncClient
    from ocpphub.sim.background import CsmsThread, HubProcess
    from ocpphub.sim.station import Station

_HUB: Final = ("identity", "connectors", "configuration", "toml")
_CSMS: Final = ("personality", "seed")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    names = ", ".join((*_CSMS, *_HUB))
    config.addinivalue_line("markers", f"ocpphub({names}): what the fixtures ocpphub_* start")


@pytest.fixture
def ocpphub_csms(request: pytest.FixtureRequest) -> Iterator[CsmsThread]:
    """A CSMS on loopback (package ``ocpp``) with the personality of the marker: watch it, call it, disturb it."""
    from ocpphub.sim.background import CsmsThread
    from ocpphub.sim.personalities import PERSONALITIES

    options = _options(request)
    personality = PERSONALITIES[options.get("personality", "accept_all")](options.get("seed", 1))
    with CsmsThread(personality) as csms:
        yield csms


@pytest.fixture
def ocpphub_hub(request: pytest.FixtureRequest, ocpphub_csms: CsmsThread) -> Iterator[HubProcess]:
    """A running hub in a directory of its own, accepted by ``ocpphub_csms``."""
    from ocpphub.sim.background import HubProcess

    options = _options(request)
    hub = HubProcess(ocpphub_csms.url, **{name: options[name] for name in _HUB if name in options})
    try:
        hub.start()
        if not hub.wait_until_accepted():
            pytest.fail(f"the CSMS did not accept the hub:\n{hub.last_log_lines()}")
        yield hub
    finally:
        hub.remove()


@pytest.fixture
def ocpphub_controller(ocpphub_hub: HubProcess) -> Callable[..., AbstractAsyncContextManager[AsyncClient]]:
    """``async with ocpphub_controller("1-2") as client``: a client that is attached to connectors.

    Further arguments are :class:`AsyncClient`'s, such as ``on_request``.
    """
    from ocpphub.rpc.client import AsyncClient

    @asynccontextmanager
    async def attached(connectors: int | list[int] | str, **options: Any) -> AsyncIterator[AsyncClient]:
        async with AsyncClient(ocpphub_hub.socket, **options) as client:
            await client.call("controller.attach", connectors=connectors)
            yield client

    return attached


@pytest.fixture
def ocpphub_station(ocpphub_hub: HubProcess) -> Callable[..., Station]:
    """``async with ocpphub_station("1-2") as station``: a simulated controller with vehicles.

    Further arguments are :class:`Station`'s, such as ``report_s``.
    """
    from ocpphub.sim.station import Station

    def station(connectors: int | list[int] | str, **options: Any) -> Station:
        return Station(ocpphub_hub.socket, connectors, **options)

    return station


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of all markers of a test; the closest one wins."""
    found: dict[str, Any] = {}
    for mark in request.node.iter_markers("ocpphub"):
        unknown = [name for name in mark.kwargs if name not in (*_CSMS, *_HUB)]
        if unknown or mark.args:
            raise pytest.UsageError(f"the marker ocpphub takes {', '.join((*_CSMS, *_HUB))} by name, not {unknown}")
        found = {**mark.kwargs, **found}
    return found
