"""What a seed stands for: size, keys, personality of the CSMS, and the faults of one life.

Owns the dice only; the same seed is the same life, whatever ran before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from ocpphub.config import ChargePointSettings, HubSettings
from ocpphub.core.key_table import standard_keys
from tests.builders import custom_key, hub, link, override, settings
from tests.lives.csms import Odds
from tests.lives.records import Header

MESSAGE_TIMEOUT_S = 10
ATTEMPTS = 3
TEMPERS = {
    "calm": Odds(silent=0.005, late=0.005, cut_after=0.005),
    "flaky": Odds(0.02, 0.02, 0.03, 0.02, 0.02, 0.02, 0.02, 0.02),
    "wrong": Odds(late=0.05, twice=0.12, wrong_id=0.10, malformed=0.12),
    "lossy": Odds(silent=0.06, cut_before=0.04, cut_after=0.10),
    "errors": Odds(error=0.45, malformed=0.05),
}


@dataclass(slots=True)
class Plan:
    """The dice of one life, thrown."""

    header: Header
    settings: ChargePointSettings
    hub: HubSettings
    temper: str
    deduplicates: bool
    odd_ids: bool
    starts_in_1970: bool
    duration_s: float
    step_ms: int
    csms_steps: bool
    """Whether it is the CSMS's clock that jumps, and not the machine's."""
    counts_plugs: bool
    agents: int
    is_disk_slow: bool
    ends_by: str
    """``unplug``: everybody drives away; ``vanish``: the controllers are never seen again."""


def plan(seed: int, rng: Random) -> Plan:
    """Throw the dice of this seed."""
    connectors = rng.choice((3, 3, 4, 5, 6, 8, 10, 14, 20))
    starts_in_1970 = rng.random() < 0.3
    keys = _keys(rng, starts_in_1970)
    security_profile = 1 if rng.random() < 0.3 else 0
    secret = "0123456789abcdef0123456789abcdef" if security_profile else None
    free_vend = {1: "VEND"} if rng.random() < 0.15 else {}
    step_ms = rng.choice((-1, 1)) * rng.choice((3_000, 30_000, 3_600_000))
    base = settings()
    point = settings(
        connectors=connectors,
        configuration=keys,
        custom_keys=(custom_key("SiteNote", "a"), custom_key("Louder", "b")),
        connector_overrides=tuple(override((each,), free_vend_id_tag=tag) for each, tag in free_vend.items()),
        security=_security(base, security_profile),
        link=link(),
    )
    header = Header(
        seed=seed,
        connectors=connectors,
        attempts=ATTEMPTS,
        message_timeout_s=MESSAGE_TIMEOUT_S,
        sample_interval_s=int(keys["MeterValueSampleInterval"]),
        connector_max_a=32.0,
        allows_unknown_offline=keys.get("AllowOfflineTxForUnknownId") == "true",
        free_vend=free_vend,
        keys=keys,
        secret=secret,
        remote_needs_no_authorization=keys["AuthorizeRemoteTxRequests"] == "false",
    )
    return Plan(
        header=header,
        settings=point,
        hub=_hub(rng, starts_in_1970),
        temper=rng.choice(tuple(TEMPERS)),
        deduplicates=rng.random() < 0.5,
        odd_ids=rng.random() < 0.2,
        starts_in_1970=starts_in_1970,
        duration_s=rng.uniform(600.0, 700.0),
        step_ms=step_ms,
        csms_steps=rng.random() < 0.5,
        counts_plugs=rng.random() < 0.8,
        agents=rng.choice((1, 2, 3)),
        is_disk_slow=rng.random() < 0.2,
        ends_by=rng.choice(("unplug", "vanish")),
    )


def _hub(rng: Random, starts_in_1970: bool) -> HubSettings:
    before = "always" if starts_in_1970 else rng.choice(("if_accepted_once", "never", "always"))
    changes: dict[str, Any] = {"unattended_grace_s": 30.0, "unattended_close_s": 200.0, "resume_wait_s": 60.0}
    return hub(charge_before_accepted=before, schedule_unit="A", publish_interval_s=300.0, **changes)


def _security(base: ChargePointSettings, profile: int) -> Any:
    from dataclasses import replace

    return replace(base.security, profile=profile)


def _keys(rng: Random, starts_in_1970: bool) -> dict[str, str]:
    """``[charge_point.configuration]``; keys that this version does not have are left out."""
    flags = {
        "AuthorizeRemoteTxRequests": 0.4,
        "LocalPreAuthorize": 0.4,
        "LocalAuthorizeOffline": 0.8,
        "AllowOfflineTxForUnknownId": 0.4,
        "StopTransactionOnInvalidId": 0.7,
        "StopTransactionOnEVSideDisconnect": 0.8,
    }
    chosen = {name: "true" if rng.random() < chance else "false" for name, chance in flags.items()}
    if starts_in_1970:  # sessions that begin before anybody told the time
        chosen["AllowOfflineTxForUnknownId"] = "true"
    chosen |= {
        "MessageTimeout": str(MESSAGE_TIMEOUT_S),
        "TransactionMessageAttempts": str(ATTEMPTS),
        "TransactionMessageRetryInterval": rng.choice(("3", "8")),
        "MeterValueSampleInterval": rng.choice(("0", "30", "60", "60")),
        "ClockAlignedDataInterval": rng.choice(("0", "0", "300")),
        "StopTxnSampledData": rng.choice(("", "Energy.Active.Import.Register")),
        "ConnectionTimeOut": rng.choice(("30", "90")),
        "MinimumStatusDuration": rng.choice(("0", "0", "2")),
    }
    known = {key.name for key in standard_keys(settings())}
    return {name: value for name, value in chosen.items() if name in known}
