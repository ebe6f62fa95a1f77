"""A controller of one connector, blocking:  python controller.py SOCKET CONNECTOR."""

import sys
import time
from typing import Any

from ocpphub import Client, UnavailableError


class Connector:
    """Replace ``set_limit`` and ``meter_wh`` by your hardware. ``set_limit`` returns when no more is drawn."""

    energy_wh = 1000
    lease_ends_s = time.monotonic() + 30

    def set_limit(self, amperes: float) -> None:
        print(f"limit {amperes:g}", flush=True)

    def meter_wh(self) -> int:
        self.energy_wh += 1
        return self.energy_wh

    def hear(self, method: str, params: dict[str, Any]) -> object:
        """What the hub asks or tells; permits hold while leases come."""
        if method == "lease":
            self.lease_ends_s = time.monotonic() + params["valid_for_s"]
            return None
        return {"status": "NotSupported"} if method == "connector.unlock" else {"accepted": True}


def drive(connector: Connector, hub: Client, number: int) -> None:
    """Obey permits until the lease has ended or the hub has closed."""
    applied = -1
    hub.call("controller.attach", connectors=number)
    permits = hub.subscribe("connector.permit", connectors=number)
    levels: dict[str, Any] = {"plugged": True, "ev_ready": True, "evse_ready": True}
    while time.monotonic() < connector.lease_ends_s:
        # Each answer has the newest permit; the report behind it says that this one is applied.
        state = hub.call("connector.report", connector_id=number, energy_wh=connector.meter_wh(), **levels)
        while state["permit"]["seq"] <= applied:
            try:
                event = permits.next_event(timeout_s=5.0)
            except UnavailableError:
                break  # none for some time: tell the meter
            if event is None:
                return
            state = event["value"]
        else:
            permit = state["permit"]
            limit = permit["limit_a"] if permit["energize"] else 0
            applied = permit["seq"]
            print(f"permit {applied} {limit:g}", flush=True)
            connector.set_limit(limit)
            levels = {"permit_seq": applied}


def main(path: str, number: int) -> None:
    connector = Connector()
    try:
        with Client(path, timeout_s=5.0, on_request=connector.hear) as hub:
            drive(connector, hub, number)
    except UnavailableError as error:
        print(error, file=sys.stderr)
    finally:
        connector.set_limit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
