"""A CSMS in a thread and a hub in a process, for tests that may block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ocpp.v16 import call

from ocpphub.errors import UnavailableError
from ocpphub.sim.background import CsmsThread, HubProcess
from ocpphub.sim.personalities import LOST, RefusesTags


@pytest.fixture
def csms() -> Iterator[CsmsThread]:
    with CsmsThread(RefusesTags(share=1.0)) as csms:
        yield csms


@pytest.fixture
def hub(csms: CsmsThread) -> Iterator[HubProcess]:
    hub = HubProcess(csms.url, connectors=2, configuration={"MessageTimeout": 1, "LocalPreAuthorize": False})
    try:
        hub.start()
        assert hub.wait_until_accepted()
        yield hub
    finally:
        hub.remove()
        assert not hub.directory.exists()


def test_background_hub_is_accepted_called_and_cut(csms: CsmsThread, hub: HubProcess) -> None:
    """CORE-BOOT-01: from a test that has no loop of its own."""
    assert csms.count("BootNotification", chargePointModel="test") == 1
    assert hub.call("get_configuration_key", keys=["MessageTimeout"])["configuration_keys"][0]["value"] == "1"
    answer = csms.call(hub.identity, call.GetConfiguration(["NumberOfConnectors"]))
    assert answer.configuration_key[0]["value"] == "2"
    with hub.client() as client:
        connected = client.subscribe(["is_connected"], snapshot=False)
        csms.cut(hub.identity)
        event = connected.next_event(10)
    assert event is not None
    assert event["value"] is False


def test_background_hub_killed_starts_again_from_its_state(csms: CsmsThread, hub: HubProcess) -> None:
    """CORE-BOOT-01: what was acknowledged is there; a second start is another boot."""
    hub.call("monitor_configuration_keys", keys=["MeterValueSampleInterval"])
    assert hub.kill() == -9
    with pytest.raises(UnavailableError):
        hub.client()
    hub.start()
    assert hub.call("charge_point.get")["monitored_keys"] == ["MeterValueSampleInterval"]
    assert csms.wait_until(lambda: csms.count("BootNotification") == 2)
    assert hub.wait_until_delivered()
    assert hub.stop() == 0


def test_background_csms_can_be_disturbed_and_calmed(csms: CsmsThread, hub: HubProcess) -> None:
    """CORE-DT-01, F13: an answer that is lost; then all is well again."""
    csms.disturb(LOST, "DataTransfer")
    csms.disturb(LOST, "Heartbeat", times=9)
    assert hub.call("data_transfer", vendor_id="org.example")["status"] == "Offline"
    csms.calm()
    assert hub.call("data_transfer", vendor_id="org.example")["status"] == "Accepted"
    assert csms.lost_answers == {"DataTransfer": 1}
    assert [item.action for item in csms.received].count("DataTransfer") == 2
    assert csms.ledger.records == []


def test_background_hub_that_cannot_start_says_why(csms: CsmsThread) -> None:
    """Its own words."""
    hub = HubProcess(csms.url, toml="nonsense = 1")
    try:
        with pytest.raises(UnavailableError, match="nonsense"):
            hub.start()
    finally:
        hub.remove()
