"""The narrated tour of ``ocpphub demo``: an embedded CSMS, a hub as a process of its own, everything over its socket.

Owns the order of the tour and what each step has to show; a step that shows something else makes the exit code 1. Must
never reach into the hub: it sees what a controller sees (the socket) and what a CSMS sees (the link).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ocpp.v16 import call

from ocpphub.errors import OcpphubError, UnavailableError
from ocpphub.rpc.client import AsyncClient, AsyncSubscription
from ocpphub.sim import permits, programs
from ocpphub.sim.charging import HARDWARE_A, STATION_A, ChargingSteps
from ocpphub.sim.csms import Csms, Received
from ocpphub.sim.killing import kill_part
from ocpphub.sim.narrator import Narrator
from ocpphub.sim.operating import OperatingSteps
from ocpphub.sim.sessions import sessions_part

if TYPE_CHECKING:
    from ocpphub.sim.securing import SecuringSteps

IDENTITY: Final = "DEMO-HUB"
MONITORED: Final = "MeterValueSampleInterval"
START_S: Final = 20.0
"""How long the hub may take until its socket answers."""
STEP_S: Final = 15.0
NO_SECURITY: Final = "--secure needs the extra `security`: pip install ocpphub[security]"
RECONNECT_S: Final = 45.0
"""Back-off begins at 5 s, doubles and has a random part; two attempts fit."""


def main(connectors: int, duration_s: float | None, *, secure: bool = False, colour: bool = False) -> int:
    """Run the tour and stay for ``duration_s`` (until Ctrl-C when ``None``). 0 only if every step was seen."""
    narrator = Narrator(sys.stdout, coloured=colour)
    # A short path: a Unix socket's is limited to 107 bytes.
    base = "/tmp" if len(tempfile.gettempdir()) > 60 else None  # noqa: S108 - mkdtemp makes it private
    folder = Path(tempfile.mkdtemp(prefix="ocpphub-", dir=base))
    try:
        return asyncio.run(_Tour(narrator, folder, connectors, secure).run(duration_s))
    except TourError as error:
        narrator.failed(str(error))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class TourError(Exception):
    """The tour cannot go on."""


class _Tour:
    """One tour: the CSMS, the hub's process, a client of its socket."""

    def __init__(self, narrator: Narrator, folder: Path, connectors: int, secure: bool) -> None:
        self.say = narrator
        self.folder = folder
        self.connectors = connectors
        self.secure = secure
        self.socket = folder / "hub.sock"
        self.stopping = asyncio.Event()
        self.csms = Csms()
        self.client = AsyncClient(self.socket)
        self.hub: asyncio.subprocess.Process | None = None
        self.sharing: permits.PermitSteps | None = None
        self.operating = OperatingSteps(self, folder, _command())
        self.securing: SecuringSteps | None = None

    async def run(self, duration_s: float | None) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopping.set)
        try:
            tour = asyncio.create_task(self.tour())
            interrupted = await self.first_of(tour)
            if interrupted or self.say.failures:
                self.say.plain("\nThe tour was interrupted." if interrupted else f"\nNot seen: {self.say.failures}")
                return 1
            await self.stay(duration_s)
            return 0
        finally:
            await self.clean_up()

    async def first_of(self, tour: asyncio.Task[None]) -> bool:
        """Wait for the tour; True when a signal came first."""
        signalled = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({tour, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if tour.done():
            tour.result()
            return False
        tour.cancel()
        await asyncio.gather(tour, return_exceptions=True)
        return True

    async def clean_up(self) -> None:
        if self.sharing is not None:
            await self.sharing.close()
        await self.operating.close()
        if self.securing is not None:
            await self.securing.close()
        with contextlib.suppress(OSError, OcpphubError):
            await self.client.close()
        if self.hub is not None and self.hub.returncode is None:
            self.hub.terminate()
            try:
                await asyncio.wait_for(self.hub.wait(), 10)
            except TimeoutError:
                self.hub.kill()
                await self.hub.wait()
        await self.csms.stop()

    # The tour

    async def tour(self) -> None:
        charging = ChargingSteps(self, IDENTITY, _command())
        self.sharing = permits.PermitSteps(self, IDENTITY)

        def sessions() -> Awaitable[None]:
            return sessions_part(self, IDENTITY)

        meanwhile: list[Callable[[], Awaitable[None]]]
        meanwhile = [self.operating.monitor, self.operating.metrics, self.operating.trace]
        if self.secure:
            meanwhile += self.secured()
        steps = (
            self.start,
            self.registration,
            self.read_configuration,
            self.custom_key,
            self.monitored_key,
            self.vendor_data,
            self.schedules,
            charging.profiles,
            charging.explanation,
            charging.picture,
            *self.sharing.steps([*meanwhile, sessions]),
            lambda: kill_part(self, IDENTITY),
            self.stop_and_restart,
            self.cut_link,
        )
        for step in steps:
            try:
                await step()
            except OcpphubError as error:
                self.say.failed(f"{error.code}: {error}")
            if self.hub is not None and self.hub.returncode is not None:
                raise TourError(f"the hub ended with exit code {self.hub.returncode}\n{self.last_log_lines()}")

    def secured(self) -> list[Callable[[], Awaitable[None]]]:
        """The steps at another hub, whose profile the CSMS raises."""
        try:
            from ocpphub.sim.securing import SecuringSteps
        except ImportError:
            raise TourError(NO_SECURITY) from None
        self.securing = made = SecuringSteps(self, self.folder, _command())
        return [made.raise_to_2, made.raise_to_3, made.firmware, made.diagnostics]

    async def start(self) -> None:
        self.say.step(f"A CSMS on loopback, and a hub of {self.connectors} connectors in {self.folder}")
        security = self.prepare_security()
        await self.csms.start()
        self.say.csms(f"listens at {self.csms.url} (package ocpp on websockets)")
        configuration = self.folder / "hub.toml"
        configuration.write_text(_configuration(self.socket, self.folder, self.csms.url, self.connectors, security))
        self.say.note(f"{_command()} run -c {configuration}")
        await self.launch_hub()
        info = await self.client.call("server.info")
        pid = "" if self.hub is None else f", pid {self.hub.pid}"
        self.say.seen(f"the socket answers: {info['name']} {info['version']}{pid}")

    async def kill_hub(self) -> None:
        """``kill -9``."""
        if self.hub is not None:
            self.hub.kill()
            await self.hub.wait()
            await self.client.close()
            self.say.note(f"kill -9 {self.hub.pid}")

    async def launch_hub(self) -> float:
        """Start the hub; seconds until its socket answered."""
        began = asyncio.get_running_loop().time()
        configuration = self.folder / "hub.toml"
        with (self.folder / "hub.log").open("ab") as log:
            self.hub = await programs.start("run", "-c", str(configuration), stdout=log, stderr=log)
        if not await self.until(self.is_reachable, START_S, "waiting for the socket"):
            raise TourError(f"no socket at {self.socket} after {START_S:g} s\n{self.last_log_lines()}")
        return asyncio.get_running_loop().time() - began

    def prepare_security(self) -> str:
        if not self.secure:
            return ""
        try:
            from ocpphub.sim import tls
        except ImportError:
            raise TourError(NO_SECURITY) from None
        key = secrets.token_bytes(20)
        authority, context = tls.issue(self.folder)
        key_file = self.folder / "authorization-key"
        key_file.touch(0o600)
        key_file.write_text(key.hex())
        self.csms = Csms(tls=context, passwords={IDENTITY: key})
        self.say.note("security profile 2: TLS with a certificate authority of its own, HTTP Basic with a 20-byte key")
        return f'[charge_point.security]\nprofile = 2\nca_file = "{authority}"\nauthorization_key_file = "{key_file}"\n'

    async def is_reachable(self) -> bool:
        if self.hub is not None and self.hub.returncode is not None:
            raise TourError(f"the hub ended with exit code {self.hub.returncode}\n{self.last_log_lines()}")
        try:
            await self.client.connect()
        except UnavailableError:
            return False
        return True

    async def registration(self) -> None:
        self.say.step("The charge point boots and is accepted, then reports every connector")
        booted = await self.csms.wait_until(lambda: self.csms.count("BootNotification") > 0, STEP_S)
        payload = next((item.payload for item in self.csms.received if item.action == "BootNotification"), {})
        self.say.csms(f"received BootNotification {payload}")
        accepted = await self.until(self.is_accepted, STEP_S, "waiting for the registration")
        self.say.check(booted and accepted, "registration Accepted")
        wanted = self.connectors + 1
        shown = STEP_S + wanted / 200

        def reported() -> int:
            return len({item.payload.get("connectorId") for item in self.csms.received if _is_status(item)})

        async def all_reported() -> bool:
            self.say.progress(f"StatusNotification {reported()} of {wanted}")
            return reported() >= wanted

        await self.until(all_reported, shown, "")
        self.say.check(reported() == wanted, f"StatusNotification of connectors 0 to {self.connectors}")

    async def read_configuration(self) -> None:
        self.say.step("get_configuration_key: what the CSMS would see, secrets left out")
        result = await self.ask("get_configuration_key", keys=["HeartbeatInterval", "AuthorizationKey", "NoSuchKey"])
        keys = {row["key"]: row for row in result["configuration_keys"]}
        self.say.check(
            "value" in keys.get("HeartbeatInterval", {})
            and "value" not in keys.get("AuthorizationKey", {})
            and result["unknown_keys"] == ["NoSuchKey"],
            "a value, a secret without one, and an unknown key",
        )

    async def custom_key(self) -> None:
        self.say.step("set_custom_configuration_key: declared keys only, never a standard one")
        accepted = await self.ask("set_custom_configuration_key", key="Tariff", value="night")
        rejected = await self.ask("set_custom_configuration_key", key="HeartbeatInterval", value="1")
        self.say.check((accepted, rejected) == ("Accepted", "Rejected"), "Accepted, and Rejected for a standard key")

    async def monitored_key(self) -> None:
        self.say.step("monitor_configuration_keys: the CSMS changes a key, the event arrives")
        events = await self.client.subscribe(["configuration_key"])
        await self.ask("monitor_configuration_keys", keys=[MONITORED])
        answer = await self.csms.call(IDENTITY, call.ChangeConfiguration(MONITORED, "60"))
        self.say.csms(f"ChangeConfiguration {MONITORED} = 60 was answered {answer.status}")
        value = await self.next_value(events, "configuration_key")
        self.say.check(
            bool(value) and (value["key"], value["value"]) == (MONITORED, "60"), "the configuration_key event"
        )
        await events.close()

    async def vendor_data(self) -> None:
        self.say.step("data_transfer: to the CSMS and back (this one answers with the text reversed)")
        known = await self.ask("data_transfer", vendor_id="org.example", message_id="greeting", data="hello")
        other = await self.ask("data_transfer", vendor_id="org.nobody")
        self.say.check(
            known == {"status": "Accepted", "data": "olleh"} and other["status"] == "UnknownVendorId",
            "Accepted with data, and UnknownVendorId",
        )

    async def schedules(self) -> None:
        self.say.step("The variables: is_connected and charging_schedules")
        connected = await self.ask("get_variable", name="is_connected")
        schedules = await self.client.call("get_variable", name="charging_schedules")
        self.say.request("get_variable", {"name": "charging_schedules"})
        value = schedules["value"] or {}
        self.say.answer({"0": value.get("0")})
        self.say.note(f"and so on for {len(value)} schedules, connector 0 to {self.connectors}")
        self.say.check(
            connected["value"] is True and len(value) == self.connectors + 1, "connected, and a schedule per connector"
        )

    async def stop_and_restart(self) -> None:
        self.say.step("stop and restart: OCPP ends and begins again, the socket stays")
        events = await self.client.subscribe(["is_connected"], snapshot=False)
        boots = self.csms.count("BootNotification")
        stopped = await self.ask("stop")
        closed = await self.next_value(events, "is_connected")
        restarted = await self.ask("restart")
        opened = await self.next_value(events, "is_connected")
        booted = await self.csms.wait_until(lambda: self.csms.count("BootNotification") > boots, STEP_S)
        accepted = await self.until(self.is_accepted, STEP_S, "waiting for the registration")
        self.say.check((stopped, closed) == (True, False), "stopped and disconnected")
        self.say.check((restarted, opened) == (True, True) and booted and accepted, "restarted and accepted again")
        await events.close()

    async def cut_link(self) -> None:
        self.say.step("The link is cut; a security event raised meanwhile is delivered once after it returns")
        events = await self.client.subscribe(["is_connected"], snapshot=False)
        connects = self.csms.connects
        self.csms.cut(IDENTITY)
        self.say.csms("cut the TCP connection")
        self.say.check(await self.next_value(events, "is_connected") is False, "the hub noticed")
        marker = secrets.token_hex(4)
        await self.ask("security_event", type="TamperDetectionActivated", info=f"lid opened, {marker}")
        self.say.note("the answer means that it is on disk; the first attempt to reconnect comes after 5 s")

        def delivered() -> int:
            return self.csms.count("SecurityEventNotification", techInfo=f"lid opened, {marker}")

        if await self.until(self.is_back(connects), RECONNECT_S, "the link is down, the hub waits before it dials"):
            await self.next_value(events, "is_connected")
        await self.csms.wait_until(lambda: delivered() > 0, STEP_S)
        drained = await self.until(self.is_drained, STEP_S, "waiting for the queue")
        # A message behind it: a second copy would have come before the answer to this one.
        await self.ask("data_transfer", vendor_id="org.example")
        self.say.check(drained and delivered() == 1, f"the CSMS received the event {delivered()} time(s)")
        await events.close()

    # Parts of steps

    async def ask(self, method: str, **params: Any) -> Any:
        self.say.request(method, params)
        result = await self.client.call(method, **params)
        self.say.answer(result)
        return result

    async def next_value(self, events: AsyncSubscription, topic: str) -> Any:
        try:
            event = await asyncio.wait_for(anext(events), STEP_S)
        except (TimeoutError, StopAsyncIteration):
            return None
        self.say.event(topic, event["value"])
        return event["value"]

    async def is_accepted(self) -> bool:
        state = await self.client.call("charge_point.get")
        return bool(state["registration"] == "Accepted" and state["is_connected"])

    async def is_drained(self) -> bool:
        state = await self.client.call("charge_point.get")
        return bool(state["queue"]["messages"] == 0)

    def is_back(self, connects: int) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return self.csms.connects > connects and IDENTITY in self.csms.connected

        return check

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float, text: str) -> bool:
        """Ask ten times a second until the condition holds, with a clock on the terminal."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await condition():
            waited = loop.time() - began
            if waited > timeout_s:
                return False
            if text:
                self.say.progress(f"{text} ... {waited:.0f} s")
            await asyncio.sleep(0.1)
        return True

    def last_log_lines(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / "hub.log").read_text(errors="replace").splitlines()[-20:])
        return ""

    # After the tour

    async def stay(self, duration_s: float | None) -> None:
        command, socket = _command(), self.socket
        request = '{"jsonrpc":"2.0","id":1,"method":"charge_point.get"}'
        self.say.plain(f"\nAll {self.say.steps} steps were seen. The hub stays up at {socket}")
        self.say.plain("Three commands to try in another terminal:")
        self.say.plain(f"  {command} watch is_connected security_event configuration_key --socket {socket}")
        self.say.plain(f"  {command} call security_event type=SettingSystemTime info=tried --socket {socket}")
        self.say.plain(f"  echo '{request}' | nc -N -U {socket}")
        self.say.plain("Ctrl-C ends it." if duration_s is None else f"It ends after {duration_s:g} s or with Ctrl-C.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self.watch_csms()

    async def watch_csms(self) -> None:
        """Show what the CSMS receives, until a signal comes."""
        seen = len(self.csms.received)
        while not self.stopping.is_set():
            for item in self.csms.received[seen:]:
                if _is_status(item):
                    continue  # hundreds of them follow each registration
                self.say.csms(f"received {item.action} {item.payload}")
            seen = len(self.csms.received)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), 0.2)


def _is_status(item: Received) -> bool:
    return item.action == "StatusNotification"


def _configuration(socket: Path, folder: Path, url: str, connectors: int, security: str) -> str:
    return f"""[hub]
socket = "{socket}"
state_directory = "{folder / "state"}"

[[charge_point]]
identity = "{IDENTITY}"
csms_url = "{url}"
connectors = {connectors}
vendor = "ocpphub"
model = "demo"
{security}
[charge_point.electrical]
connector_max_a = {HARDWARE_A}
station_max_a = {STATION_A}
turn_s = {permits.TURN_S}

[charge_point.custom_keys.Tariff]
value = "day"

{permits.configuration(IDENTITY, connectors, STATION_A)}"""


def _command() -> str:
    """How this very program can be called again, as short as it goes."""
    program = Path(sys.argv[0])
    if program.name == "ocpphub" and os.access(program, os.X_OK):
        return min((os.path.relpath(program), str(program)), key=len)
    return f"{os.path.relpath(sys.executable)} -m ocpphub"
