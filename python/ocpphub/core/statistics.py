"""The numbers of one charge point, as ``metrics.py`` shows them.

Owns their shape, and how they are counted together. Must never change anything, nor hold an id tag, a key or a payload:
there are numbers here, and words of the standard.

Implements: decisions.md 6 (what is given up is shown); style.md "Logging" (a metric for every limit).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from ocpphub.core.vocabulary import ChargePointStatus, RegistrationStatus

if TYPE_CHECKING:
    from ocpphub.core.inbound import Inbound
    from ocpphub.core.instant import Instant
    from ocpphub.core.parts import Parts

REGISTRATIONS: Final = ("none", *map(str, RegistrationStatus))
"""``none``: BootNotification was not answered yet."""
OUTCOMES: Final = ("ok", "error", "timeout", "link_lost")
"""How an own CALL may end, as in :class:`~ocpphub.core.outbox.Outcome`."""
_STATUS: Final = attrgetter("status._value_")  # a plain text: the hash of a member of an enumeration is slow


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers of now, and counts since the core was made: after a reset of the charge point they begin anew."""

    is_connected: bool
    failed_attempts: int
    """Attempts to connect that failed."""
    is_stopped: bool
    is_short: bool
    """Whether new sessions are refused because room on the disk is short."""
    registration: Mapping[str, int]
    """1 for the one of :data:`REGISTRATIONS` that is so, 0 for the others."""
    messages: int
    queue_bytes: int
    oldest_age_s: float
    """Of the oldest message that waits, 0 without any."""
    aside: int
    samples_lost: Mapping[str, int]
    messages_lost: int
    """Messages given up, be they of transactions or others; samples are counted by themselves."""
    connectors: Mapping[str, int]
    """Connectors above 0 by their status."""
    running: int
    """Connectors with a running transaction."""
    started: int
    ended: int
    sent: int
    """Own CALLs."""
    outcomes: Mapping[str, int]
    """Own CALLs that have ended, by :data:`OUTCOMES`."""
    received: int
    """Valid CALLs of the CSMS."""
    refused: Mapping[str, int]
    """CALLERRORs that were sent, by code."""
    violations: Mapping[str, int]
    """Frames that broke a rule, by the code of what they broke."""
    ignored: Mapping[str, int]
    """Valid frames that led to nothing, by why."""
    certificate_expiry_s: Mapping[str, float]
    """Until the first certificate of a type ends, negative when it has; types without any are left out."""


def statistics(parts: Parts, inbound: Inbound, now: Instant) -> Statistics:
    """Count everything of one charge point; each of its connectors is looked at once."""
    registration = "none" if parts.boot.registration is None else str(parts.boot.registration)
    messages, size, oldest_ms, aside = parts.transactions.state()
    durable = parts.durable.state()
    times = [each for each in (oldest_ms, parts.durable.oldest_ms) if each is not None]
    found = Counter(map(_STATUS, parts.connectors.conditions[1:]))
    lost, counters = parts.transactions.lost, parts.outbox.counters
    return Statistics(
        is_connected=parts.state.is_connected,
        failed_attempts=parts.trust.credentials.failed_attempts,
        is_stopped=parts.state.is_stopped,
        is_short=parts.state.is_full,
        registration={each: int(each == registration) for each in REGISTRATIONS},
        messages=messages + durable["messages"],
        queue_bytes=size + durable["bytes"],
        oldest_age_s=max(0.0, (parts.clock.utc_ms(now) - min(times)) / 1000) if times else 0.0,
        aside=aside + durable["aside"],
        samples_lost={"thinned": lost.thinned, "dropped": lost.dropped},
        messages_lost=lost.messages + parts.durable.dropped,
        connectors={str(each): found[each.value] for each in ChargePointStatus},
        running=sum(1 for row in parts.connectors if row.transaction is not None),
        started=parts.transactions.started,
        ended=parts.transactions.ended,
        sent=counters.sent,
        outcomes={each: counters.ended[each] for each in OUTCOMES},
        received=inbound.received,
        refused=inbound.refused,
        violations=parts.security.refused,
        ignored={
            "answer_without_call": counters.unexpected_answers,
            "call_before_registration": inbound.unregistered,
            "repeated_call": inbound.repeats,
        },
        certificate_expiry_s=parts.trust.certificates.expiry_s(parts.clock.utc_ms(now)),
    )
