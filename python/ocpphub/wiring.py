"""What a hub is made of, built from its settings: the store, a core, the link of a charge point.

Owns which implementation stands behind each port, and the message ids that are new with every core. Must never keep
what it has built, nor start it: that is ``api.Hub``.

Implements: architecture.md "Arrows"; J-231, J-342.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

from orjson import dumps

from ocpphub.driver import Driver, Link
from ocpphub.errors import OcpphubError

if TYPE_CHECKING:
    from ocpphub.allocator import Allocator
    from ocpphub.api import ChargePoint as Point
    from ocpphub.config import ChargePointSettings, Settings
    from ocpphub.core.allocation import Allocation
    from ocpphub.core.certificates import Provisioned
    from ocpphub.core.charge_point import ChargePoint
    from ocpphub.core.instant import Instant
    from ocpphub.core.x509 import X509
    from ocpphub.endpoint import Failure
    from ocpphub.publications import Event, Publications
    from ocpphub.scratch import Scratch
    from ocpphub.security_log import SecurityLog
    from ocpphub.store import Row, Store
    from ocpphub.work import Doer, Workshop

log = logging.getLogger("ocpphub.daemon")

_CERTIFICATES: Final = "ocpphub.certificates"


def open_store(settings: Settings) -> Store:
    """The store of the process. Raises what keeps its file from being used."""
    from ocpphub.store.sqlite import SqliteStore

    return SqliteStore(settings.hub.state_directory)


def load_rows(store: Store, identities: Collection[str]) -> Mapping[str, Iterable[Row]]:
    """The stored rows of each charge point; those of a single one come as they are read."""
    if len(identities) == 1:
        return dict.fromkeys(identities, store.load())
    found: dict[str, list[Row]] = {identity: [] for identity in identities}
    for row in store.load():
        if row.charge_point in found:
            found[row.charge_point].append(row)
    return found


def make_workshop(settings: Settings, points: Mapping[str, Point], *, keeps_files: bool) -> Workshop:
    """Who does what takes its time, and the security log. A missing extra leaves its methods out.

    ``points`` are told what comes up on the way: progress on a topic, and that the security log was cleared. A hub
    with a store of its own (``keeps_files`` false) has no state directory, hence no security log.
    """
    from ocpphub.work import Workshop

    if not keeps_files:
        return Workshop({})
    from ocpphub.scratch import NAME, Scratch

    security, scratch = make_security_log(settings, points), Scratch(settings.hub.state_directory / NAME)
    doers = {**make_transfers(settings, points, scratch), **make_file_work(settings, scratch, security)}
    return Workshop(doers, security, scratch.close)


def make_security_log(settings: Settings, points: Mapping[str, Point]) -> SecurityLog:
    """The security log of the process; a charge point is told on the running loop that lines of its own are gone."""
    from ocpphub.security_log import SecurityLog

    loop = asyncio.get_running_loop()

    def tell(identity: str, info: str) -> None:
        with suppress(OcpphubError):  # the hub is ending: the log itself says it
            points[identity].command("security_log_cleared", (info,), lambda result, error: None)

    def cleared(identity: str, info: str) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, identity, info)

    return SecurityLog(settings.hub.state_directory, cleared)


def make_file_work(settings: Settings, scratch: Scratch, security: SecurityLog) -> dict[str, Doer]:
    """Archives of logs, and the check and installation of firmware: with what extras and hooks there are."""
    from ocpphub.archive import COLLECT_S, Archives
    from ocpphub.firmware_check import INSTALL_S, FirmwareCheck
    from ocpphub.hooks import Hook

    state = settings.hub.state_directory
    verify = None if make_x509() is None else _verify
    installs, collects = settings.firmware.hook, settings.diagnostics.hook
    install = None if installs is None else Hook(installs, state, INSTALL_S)
    collect = None if collects is None else Hook(collects, state, COLLECT_S)
    return {
        **FirmwareCheck(verify, install, unsigned=settings.firmware.unsigned).doers(),
        **Archives(scratch, state, settings.source, security, collect, settings.diagnostics.max_bytes).doers(),
    }


def make_transfers(settings: Settings, points: Mapping[str, Point], scratch: Scratch) -> dict[str, Doer]:
    """Downloads and uploads; none without the extra ``transfer``. What is enabled and cannot be done is named."""
    if not has_transfers():
        log.warning("no firmware, diagnostics or logs: install the extra, pip install 'ocpphub[transfer]'")
        return {}
    from ocpphub.known_hosts import KnownHosts
    from ocpphub.store.space import Space
    from ocpphub.transfer import Policy, Transfers, unable

    schemes = {identity: enabled_schemes(settings, point.settings) for identity, point in points.items()}
    for scheme in unable(schemes.values()):
        log.warning("transfers by %s are enabled, but the libcurl that is installed cannot do them", scheme)
    firmware, directory = settings.firmware, settings.hub.state_directory
    policy = Policy(
        schemes,
        firmware.allow_private_addresses,
        firmware.hosts,
        settings.diagnostics.max_bytes,
        firmware.max_bytes_per_s,
    )

    def progress(identity: str, value: Mapping[str, Any]) -> None:
        points[identity].publications.publish("transfer", dumps(value))

    return Transfers(
        scratch,
        policy,
        KnownHosts(directory / "known_hosts"),
        roots=lambda identity: "\n".join(points[identity].core.access().roots),
        on_progress=progress,
        has_room=Space(scratch.directory).fits,  # it is the disk of the store too
    ).doers()


def has_transfers() -> bool:
    """Whether the extra ``transfer`` is installed."""
    return find_spec("pycurl") is not None


def enabled_schemes(whole: Settings, settings: ChargePointSettings) -> frozenset[str]:
    """The schemes of URLs that transfers of a charge point may use; none without the extra ``transfer``."""
    from ocpphub.url_policy import schemes_of

    configured = {name.lower(): value for name, value in settings.configuration.items()}
    protocols = configured.get("supportedfiletransferprotocols", "HTTPS")
    return schemes_of(protocols, sftp=whole.firmware.sftp) if has_transfers() else frozenset()


def make_x509() -> X509 | None:
    """X.509, or ``None`` without the extra ``security``."""
    return None if find_spec("cryptography") is None else cast("X509", _WhenNeeded())


def load_x509() -> None:
    """Import X.509 beside the running loop, unless it is there or cannot be: a first use would hold the loop up."""
    if _CERTIFICATES not in sys.modules and make_x509() is not None:
        asyncio.get_running_loop().run_in_executor(None, import_module, _CERTIFICATES)


class _WhenNeeded:
    """X.509 from its first use on, or :func:`load_x509`: the library takes 9 MiB and 90 ms, too much for a start."""

    def __getattr__(self, name: str) -> Any:
        from ocpphub.certificates import Certificates

        return getattr(Certificates(), name)


def _verify(digest: bytes, certificate: str, signature: str) -> bool:
    from ocpphub.certificates import verify_digest

    return verify_digest(digest, certificate, signature)


def make_allocator(settings: Settings, driver: Driver, clock: Callable[[], Instant]) -> Allocator:
    """The allocation of the process, over all its charge points and feeders, and what runs it."""
    from ocpphub.allocator import Allocator
    from ocpphub.core.allocation import Allocation

    allocation = Allocation(settings.charge_points, settings.feeders)
    allocator = Allocator(allocation, driver, clock, asyncio.get_running_loop())
    driver.on_input = allocator.follow
    return allocator


@dataclass(frozen=True, slots=True)
class Files:
    """What the files of keys and certificates of a charge point held when its hub started."""

    authorization_key: bytes | None = field(default=None, repr=False)
    provisioned: Provisioned | None = None


def read_files(settings: ChargePointSettings) -> Files:
    """Read the files of a charge point. Raises :class:`LocalError` for one that cannot be used."""
    from ocpphub.endpoint import read_authorization_key
    from ocpphub.provisioning import read_provisioned

    path = settings.security.authorization_key_file
    return Files(None if path is None else read_authorization_key(path), read_provisioned(settings.security))


def make_core(point: Point, whole: Settings, allocation: Allocation, rows: Iterable[Row], now: Instant) -> ChargePoint:
    """A core out of its charge point's files, its rows, and the vendor handlers that its connections have registered.

    ``whole`` are the settings of the hub. Raises :class:`LocalError` for settings that it refuses.
    """
    from ocpphub.core.allotment import Allotment
    from ocpphub.core.charge_point import ChargePoint
    from ocpphub.core.maintenance import Maintenance

    settings = point.settings
    core = ChargePoint(
        settings,
        rows,
        now,
        # Fresh for every core, so that no message id is ever used twice (J-231).
        boot_id=secrets.token_hex(8),
        hub=whole.hub,
        authorization_key=point.files.authorization_key,
        allotment=Allotment(allocation, settings.identity),
        schemes=enabled_schemes(whole, settings),
        x509=make_x509(),
        provisioned=point.files.provisioned,
        maintenance=Maintenance(
            whole.firmware.unsigned, whole.firmware.hook is not None, whole.diagnostics.hook is not None
        ),
    )
    core.use_vendors(point.clients.vendors)
    return core


def make_link(
    settings: ChargePointSettings, driver: Driver, publications: Publications
) -> tuple[Link, Callable[[], None]]:
    """The WebSocket of a charge point, and what ends its listening to the publications.

    Raises :class:`LocalError` for settings that no connection can be made from.
    """
    from ocpphub.csms import CsmsLink

    def failed(failure: Failure) -> None:
        event, text, cause = failure.security_event, failure.text, failure.cause_key
        is_outage = failure.is_outage
        driver.apply(settings.identity, lambda core, now: core.link_failed(event, text, now, cause, is_outage))

    def judge(event: Event) -> None:
        state = event.parsed()
        if state["is_connected"] and state["registration"] == "Accepted":
            link.stable()

    link = CsmsLink(settings, driver, on_failure=failed)
    # J-342: only an accepted charge point's link may start the back-off anew; the core publishes when it is.
    return link, publications.listen("charge_point.status", judge)
