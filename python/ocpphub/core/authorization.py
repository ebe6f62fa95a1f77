"""Who may charge: the decision of requirement chapter 5 over local list, cache, CSMS and keys.

Owns :data:`RULES`, the Authorize.req that a decision needs, and what idTagInfo of the CSMS leads to; the list and the
cache are parts of it. Must never start, stop or refuse a transaction: it gives verdicts. Must never compare an id tag
with a parentIdTag (OCPP 1.6 section 3.10).

Implements: OCPP 1.6 sections 3.4, 3.5, 4.1, 5.4, 5.10 and 5.15; errata 3.23; CORE-AUTH-02 to 04, 08 to 12 and 15 to 23;
CORE-LL-01, 02, 11 and 15; AMB-06 to 08 and 21.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, cast

from ocpphub import _native
from ocpphub.core.authorization_cache import AuthorizationCache
from ocpphub.core.boot import Clock
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Effect
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.instant import Instant
from ocpphub.core.local_list import LocalList
from ocpphub.core.messages import SendLocalListRequest
from ocpphub.core.outbox import Outcome, OwnCall, PromptQueue
from ocpphub.core.rows import Rows
from ocpphub.core.verdict import Verdict as Verdict
from ocpphub.core.verdict import folded
from ocpphub.core.vocabulary import AuthorizationStatus, ClearCacheStatus, UpdateStatus

log = logging.getLogger("ocpphub.core")

FEATURE: Final = "LocalAuthListManagement"
MAX_WAITING: Final = 1_000
"""Id tags that may wait for the CSMS at once; one more is decided as if the CSMS did not answer."""

Link = Literal["online", "offline"]
Standing = Literal["ok", "not ok", "unknown"]
"""What list or cache say: Accepted and not expired, anything else, nothing."""
Action = Literal["authorize", "ask", "refuse"]
Done = Callable[[Verdict, Instant], None]


class Rule(NamedTuple):
    """What to do, depending on a boolean configuration key if one is named."""

    if_set: Action
    key: str | None = None
    otherwise: Action = "refuse"


RULES: Final[Mapping[tuple[Link, Standing], Rule]] = {
    ("online", "ok"): Rule("authorize", "LocalPreAuthorize", otherwise="ask"),
    ("online", "not ok"): Rule("ask"),
    ("online", "unknown"): Rule("ask"),
    ("offline", "ok"): Rule("authorize", "LocalAuthorizeOffline"),
    ("offline", "not ok"): Rule("refuse"),
    ("offline", "unknown"): Rule("authorize", "AllowOfflineTxForUnknownId"),
}
"""The decision table; the list comes before the cache (CORE-AUTH-10), so there is one standing."""

_ACCEPTED: Final = Verdict(str(AuthorizationStatus.ACCEPTED))
_INVALID: Final = Verdict(str(AuthorizationStatus.INVALID))


class Authorization:
    """Verdicts on id tags. ``is_online``: connected and accepted, so that a CALL would leave now."""

    def __init__(
        self,
        emit: Callable[[Effect], None],
        prompt: PromptQueue,
        clock: Clock,
        configuration: Configuration,
        is_online: Callable[[], bool],
    ) -> None:
        self._prompt, self._clock, self._configuration, self._is_online = prompt, clock, configuration, is_online
        self.list = LocalList(emit)
        """Also while the CSMS has switched it off."""
        self.cache = AuthorizationCache(emit)
        self.on_conflict: Callable[[Instant], None] = lambda now: None
        """Called when the CSMS contradicts the list (CORE-AUTH-20)."""
        self._waiting: dict[str, list[Done]] = {}

    def restore(self, rows: Rows) -> None:
        """Take up list and cache of an earlier process."""
        self.list.restore(rows)
        self.cache.restore(rows)

    # verdicts

    def decide(self, id_tag: str, now: Instant) -> Verdict | None:
        """The verdict that needs no question; ``None`` when the CSMS must be asked."""
        return self._decide("online" if self._is_online() else "offline", id_tag, now)

    def _decide(self, link: Link, id_tag: str, now: Instant) -> Verdict | None:
        known = self._known(id_tag, now)
        rule = RULES[link, _standing(known)]
        action = rule.if_set if rule.key is None or self._is_on(rule.key) else rule.otherwise
        if action == "ask":
            return None
        if action == "authorize":
            return known or _ACCEPTED
        return _INVALID if known is None or known.is_accepted else known

    def ask(self, id_tag: str, done: Done, now: Instant) -> None:
        """Decide, with the help of the CSMS where :data:`RULES` want it; ``done`` is called exactly once.

        Questions about one tag share one Authorize.req, which overtakes the transaction queue (CORE-TXQ-04). Without an
        answer (timeout, CALLERROR, lost link) the decision is the one for offline (AMB-21). Effects: those of
        :meth:`learn`, then those of ``done``.
        """
        verdict = self.decide(id_tag, now)
        if verdict is not None:
            done(verdict, now)
            return
        tag = folded(id_tag)
        if tag in self._waiting:
            self._waiting[tag].append(done)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[tag] = [done]
            call = OwnCall("Authorize", {"idTag": id_tag}, lambda outcome, at: self._answered(id_tag, outcome, at))
            self._prompt.put(call)
        else:
            log.warning("%d id tags wait for the CSMS: one more is decided without it", MAX_WAITING)
            done(self._offline(id_tag, now), now)

    def _answered(self, id_tag: str, outcome: Outcome, now: Instant) -> None:
        if outcome.confirmation is None:
            verdict = self._offline(id_tag, now)
        else:
            info = outcome.confirmation.payload()["idTagInfo"]
            verdict = Verdict.of(info)
            self.learn(id_tag, info, now)
        for done in self._waiting.pop(folded(id_tag)):
            done(verdict, now)

    def _offline(self, id_tag: str, now: Instant) -> Verdict:
        return self._decide("offline", id_tag, now) or _INVALID

    def parent_of(self, id_tag: str, now: Instant) -> str | None:
        """The parentIdTag that list or cache know; an entry that has expired tells none."""
        known = self._known(id_tag, now)
        return None if known is None or known.status == AuthorizationStatus.EXPIRED else known.parent_id_tag

    def _known(self, id_tag: str, now: Instant) -> Verdict | None:
        known = self.list.get(id_tag) if self._uses_list else None
        if known is None and self._uses_cache:
            known = self.cache.get(id_tag)
        return None if known is None else known.at(self._clock.utc_ms(now))

    # what the CSMS says

    def learn(self, id_tag: str, id_tag_info: Mapping[str, Any], now: Instant) -> None:
        """idTagInfo of a confirmation. Effects: ``Store`` of a cache row, or those of ``on_conflict``.

        A tag of the list stays out of the cache (CORE-AUTH-09).
        """
        verdict, utc_ms = Verdict.of(id_tag_info), self._clock.utc_ms(now)
        listed = self.list.get(id_tag) if self._uses_list else None
        if listed is not None:
            if _contradicts(verdict, listed.at(utc_ms)):
                log.warning("the CSMS contradicts its local authorization list")
                self.on_conflict(now)
        elif self._uses_cache:
            self.cache.put(id_tag, verdict, utc_ms)

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler; those of the list answer also while the feature is off (CORE-LL-01, CORE-LL-11)."""
        return {
            "SendLocalList": self._send_local_list,
            "GetLocalListVersion": self._get_local_list_version,
            "ClearCache": self._clear_cache,
        }

    def _send_local_list(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.15. What enters the list leaves the cache (CORE-LL-15)."""
        if not self._uses_list:
            return Answer({"status": UpdateStatus.NOT_SUPPORTED})
        request = cast("SendLocalListRequest", call.payload())
        capacity = self._configuration.integer("LocalAuthListMaxLength")
        status = self.list.receive(request, capacity, self._configuration.integer("SendLocalListMaxLength"))
        if status is UpdateStatus.ACCEPTED:
            for entry in request.get("localAuthorizationList", ()):
                self.cache.forget(entry["idTag"])
        log.info("SendLocalList %s, version %d: %s", request["updateType"], request["listVersion"], status)
        return Answer({"status": status})

    def _get_local_list_version(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.10; -1 says that there is no list (AMB-06)."""
        return Answer({"listVersion": self.list.version if self._uses_list else -1})

    def _clear_cache(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.4; without a cache Rejected (errata 3.23)."""
        if not self._uses_cache:
            return Answer({"status": ClearCacheStatus.REJECTED})
        self.cache.clear()
        return Answer({"status": ClearCacheStatus.ACCEPTED})

    # keys

    @property
    def _uses_list(self) -> bool:
        return FEATURE in self._configuration.feature_profiles and self._is_on("LocalAuthListEnabled")

    @property
    def _uses_cache(self) -> bool:
        return self._is_on("AuthorizationCacheEnabled")

    def _is_on(self, key: str) -> bool:
        return self._configuration.text(key) == "true"


def _standing(known: Verdict | None) -> Standing:
    if known is None:
        return "unknown"
    return "ok" if known.is_accepted else "not ok"


def _contradicts(verdict: Verdict, listed: Verdict) -> bool:
    """OCPP 1.6 section 3.5.2. ConcurrentTx speaks of the moment, not of the tag: it does not deny an Accepted entry."""
    if listed.is_accepted:
        return verdict.status not in (AuthorizationStatus.ACCEPTED, AuthorizationStatus.CONCURRENT_TX)
    return verdict.is_accepted
