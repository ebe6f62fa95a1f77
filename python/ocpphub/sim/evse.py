"""One simulated connector, as its controller knows it: cable, meter, errors, and the permit that it obeys.

Owns the levels that are reported and the register. Must never touch a socket or a clock: the station carries what is
here to the hub, and tells how much time has passed.

Plays the controller's side of design rpc.md "Controllers".
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ocpphub.sim.vehicle import Vehicle, permitted_w

NOTHING: Final[Mapping[str, Any]] = {"energize": False}
"""The permit of one who has none."""
ROUNDING_W: Final = 1e-6
"""By so much a power may seem to be above the permit that it follows."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How connectors are built: volts, phases, and the current they may draw when they hear nothing of the hub."""

    voltage_v: float = 230.0
    phases: int = 3
    fallback_current_a: float = 0.0


class Evse:
    """A connector with its meter and whatever vehicle is plugged in.

    ``state`` is the connector state that the hub told last. ``unlock_status`` is what ``connector.unlock`` is answered.
    """

    def __init__(self, connector_id: int, wiring: Wiring | None = None, *, register_wh: int = 0) -> None:
        self.connector_id = connector_id
        self.vehicle: Vehicle | None = None
        self.errors: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.unlock_status = "Unlocked"
        self._wiring = wiring or Wiring()
        self._before_wh = float(register_wh)
        self._permit: Mapping[str, Any] = NOTHING
        self._applied_seq: int | None = None
        self._now_s: float | None = None
        # Another run of the simulator is another plug, whatever the hub remembers of the last one.
        self._run = secrets.token_hex(4)
        self._plugs = 0

    # What happens to it

    def plug(self, vehicle: Vehicle) -> None:
        """A vehicle is plugged in. Raises ``ValueError`` where one is already."""
        if self.vehicle is not None:
            raise ValueError(f"connector {self.connector_id} is taken")
        self.vehicle = vehicle
        self._plugs += 1
        self._obey()

    def unplug(self) -> Vehicle:
        """The cable is pulled; the vehicle that leaves. Raises ``ValueError`` where there is none."""
        if self.vehicle is None:
            raise ValueError(f"nothing is plugged in at connector {self.connector_id}")
        vehicle, self.vehicle = self.vehicle, None
        self._before_wh += vehicle.energy_wh
        return vehicle

    def fault(self, error_code: str, *, inoperative: bool = True, info: str = "") -> None:
        """An error begins (ChargePointErrorCode); an inoperative one ends the power."""
        self.errors.append({"error_code": error_code, "inoperative": inoperative, **({"info": info} if info else {})})
        self._obey()

    def repair(self) -> None:
        """All errors are over."""
        self.errors.clear()
        self._obey()

    def take(self, state: Mapping[str, Any], *, is_new: bool = False) -> None:
        """The connector state of the hub; a permit that is older than the present one is not taken.

        ``is_new`` is for the answer to an attach, where the hub may have begun to count permits anew.
        """
        if is_new:
            self._applied_seq = None
        if is_new or state["permit"]["seq"] >= self._permit.get("seq", 0):
            self._permit = state["permit"]
        self.state = dict(state)
        self._obey()

    def find_the_hub(self) -> None:
        """A lease has come after it had run out: the last permit counts again."""
        if self.state:
            self.take(self.state, is_new=True)

    def lose_the_hub(self) -> None:
        """The lease has run out or the socket has closed: the fallback current counts (decisions.md 5)."""
        amperes = self._wiring.fallback_current_a
        self._permit = {"energize": amperes > 0, "limit_a": amperes, "limit_w": None, "phases": self._wiring.phases}
        self._applied_seq = None
        self._obey()

    def set_register(self, register_wh: int) -> None:
        """The meter shows this from now on: how a new run takes up where the hub's knowledge ends."""
        self._before_wh = register_wh - (self.vehicle.energy_wh if self.vehicle else 0.0)

    def pass_time(self, now_s: float) -> None:
        """It is ``now_s`` (monotonic); what was drawn since the last call is in the register."""
        if self.vehicle is not None and self._now_s is not None:
            self.vehicle.step(now_s - self._now_s)
        self._now_s = now_s

    # What is told of it

    @property
    def is_ready(self) -> bool:
        """Whether the connector itself could give energy."""
        return not any(error.get("inoperative") for error in self.errors)

    @property
    def register_wh(self) -> int:
        """The import register; it never falls."""
        return int(self._before_wh + (self.vehicle.energy_wh if self.vehicle else 0.0))

    @property
    def power_w(self) -> float:
        """What flows now."""
        return self.vehicle.power_w if self.vehicle is not None else 0.0

    @property
    def current_a(self) -> float:
        """What flows now on each phase that carries current."""
        return self.power_w / self._wiring.voltage_v / self._phases if self.vehicle is not None else 0.0

    @property
    def _phases(self) -> int:
        """How many phases carry current; on DC all that the connector has."""
        permitted = self._permit.get("phases") or self._wiring.phases
        has = self._wiring.phases if self.vehicle is None or self.vehicle.model.is_dc else self.vehicle.model.phases
        return min(has, permitted, self._wiring.phases)

    @property
    def transaction(self) -> Mapping[str, Any] | None:
        """The transaction that the hub told last."""
        transaction: Mapping[str, Any] | None = self.state.get("transaction")
        return transaction

    def levels(self) -> dict[str, Any]:
        """The whole report, as the first one after an attach has to be (decisions.md 4)."""
        report: dict[str, Any] = {
            "connector_id": self.connector_id,
            "plugged": self.vehicle is not None,
            "ev_ready": self.vehicle is not None and self.vehicle.is_ready,
            "evse_ready": self.is_ready,
            "energy_wh": self.register_wh,
            "errors": [dict(error) for error in self.errors],
        }
        if self.vehicle is not None:
            report["plug_id"] = f"{self._run}-{self._plugs}"
        if (seq := self._applied()) is not None:
            report["permit_seq"] = seq
        return report

    def measurements(self) -> list[dict[str, Any]]:
        """What a meter and a vehicle tell beside the register."""
        if self.vehicle is None:
            return []
        volts, phases = self._wiring.voltage_v, self._phases
        values: list[dict[str, Any]] = [
            {"measurand": "Power.Active.Import", "value": round(self.power_w, 1), "unit": "W"},
            {"measurand": "SoC", "value": round(100 * self.vehicle.state_of_charge, 1), "location": "EV"},
        ]
        if not self.vehicle.model.is_dc:
            amperes = round(self.current_a, 2)
            values += [{"measurand": "Current.Import", "phase": f"L{n + 1}", "value": amperes} for n in range(phases)]
            values += [{"measurand": "Voltage", "phase": f"L{n + 1}-N", "value": volts} for n in range(phases)]
        return values

    def _obey(self) -> None:
        if self.vehicle is not None:
            self.vehicle.allow(self._allowed_w(self.vehicle))

    def _allowed_w(self, vehicle: Vehicle) -> float:
        permit = self._permit if self.is_ready else NOTHING
        return permitted_w(permit, vehicle.model, self._wiring.voltage_v, self._wiring.phases)

    def _applied(self) -> int | None:
        """The permit that is applied (rpc.md ``permit_seq``): a lower one only when the vehicle has come down to it."""
        if self.vehicle is None or self.power_w <= self._allowed_w(self.vehicle) + ROUNDING_W:
            self._applied_seq = self._permit.get("seq")
        return self._applied_seq
