"""Who may charge: the decision table, Authorize.req, and what the CSMS's word leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from ocpphub import _native
from ocpphub.core import authorization
from ocpphub.core.authorization import RULES, Authorization, Verdict
from ocpphub.core.boot import Clock, utc_text
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Discard, Effect, Send, Store
from ocpphub.core.inbound import Answer
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Outbox, PromptQueue
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.store import Row
from tests import builders

NOW = Instant(1_000.0, builders.EPOCH_MS)
PAST, FUTURE = utc_text(NOW.utc_ms - 1), utc_text(NOW.utc_ms + 2_000)
OK, BLOCKED, EXPIRED = {"status": "Accepted"}, {"status": "Blocked"}, {"status": "Accepted", "expiryDate": PAST}


class Desk:
    """An authorization with its queue and its keys, between a scripted CSMS and an instant disk."""

    def __init__(
        self, rows: Mapping[tuple[str, str], bytes] | None = None, *, online: bool = True, **keys: Any
    ) -> None:
        self.rows = dict(rows or {})
        self.effects: list[Effect] = []
        self.heard: list[tuple[str, Verdict]] = []
        self.conflicts = 0
        self.online, self.now = online, NOW
        configured = {name: str(value) for name, value in keys.items()}
        self.configuration = Configuration(builders.settings(configuration=configured), self.effects.append)
        self.prompt = PromptQueue()
        self.outbox = Outbox(self.effects.append, Timers(), lambda: 30, "00000000000000aa")
        self.outbox.register(self.prompt)
        self.desk = Authorization(self.effects.append, self.prompt, Clock(), self.configuration, lambda: self.online)
        self.desk.on_conflict = self._conflict
        self.desk.restore(Rows([Row("CP1", table, key, value) for (table, key), value in self.rows.items()], "CP1"))

    def _conflict(self, now: Instant) -> None:
        self.conflicts += 1

    def restarted(self, **keys: Any) -> Desk:
        self.sent()
        return Desk(self.rows, online=self.online, **keys)

    def later(self, seconds: float) -> Desk:
        self.now = Instant(self.now.monotonic_s + seconds, self.now.utc_ms + round(seconds * 1000))
        return self

    def call(self, action: str, payload: Any = None) -> dict[str, Any]:
        """The CSMS calls; the confirmation, which has to be a legal one."""
        call = _native.decode(orjson.dumps([2, "1", action, payload or {}]))
        assert isinstance(call, _native.Call)
        answer = self.desk.handlers()[action](call, self.now)
        assert isinstance(answer, Answer)
        return dict(orjson.loads(_native.encode_result("1", action, answer.payload))[2])

    def listed(self, kind: str = "Full", version: int = 1, **tags: Any) -> str:
        entries = [{"idTag": tag, **({} if info is None else {"idTagInfo": info})} for tag, info in tags.items()]
        request = {"listVersion": version, "updateType": kind, "localAuthorizationList": entries}
        return str(self.call("SendLocalList", request)["status"])

    def cached(self, **tags: dict[str, str]) -> Desk:
        for tag, info in tags.items():
            self.desk.learn(tag, info, self.now)
        return self

    def ask(self, *tags: str) -> Desk:
        for tag in tags:
            self.desk.ask(tag, lambda verdict, now, tag=tag: self.heard.append((tag, verdict)), self.now)  # type: ignore[misc]
        return self

    def sent(self) -> list[dict[str, Any]]:
        """What leaves now; at most one Authorize.req is in flight."""
        self.outbox.pump("open", self.now)
        frames = [orjson.loads(effect.frame) for effect in self.effects if isinstance(effect, Send)]
        for effect in self.effects:
            if isinstance(effect, Store):
                self.rows[effect.table, effect.key] = effect.value
            elif isinstance(effect, Discard):
                self.rows.pop((effect.table, effect.key), None)
        self.effects.clear()
        assert all(frame[2] == "Authorize" for frame in frames)
        return [frame[3] for frame in frames]

    def answer(self, info: dict[str, str]) -> Desk:
        """The CSMS answers the Authorize.req in flight."""
        (unique_id,) = self.outbox.pending
        result = _native.decode(orjson.dumps([3, unique_id, {"idTagInfo": info}]), self.outbox.pending)
        assert isinstance(result, _native.CallResult)
        self.outbox.receive_result(result, self.now)
        return self

    def decide(self, tag: str) -> str:
        """The status of the verdict, ``ask`` when the CSMS must be asked."""
        verdict = self.desk.decide(tag, self.now)
        return "ask" if verdict is None else verdict.status


NOT_OK = [BLOCKED, EXPIRED, {"status": "Invalid"}, {"status": "Expired"}, {"status": "ConcurrentTx"}]
CACHES: list[dict[str, str] | None] = [None, OK, BLOCKED]


def row(name: str, **keys: bool) -> Any:
    return pytest.param(keys, id=name)


BOTH_PRE = [row("preauthorize", LocalPreAuthorize=True), row("ask first", LocalPreAuthorize=False)]
OFFLINE_KEYS = [
    {"LocalAuthorizeOffline": local, "AllowOfflineTxForUnknownId": unknown}
    for local in (True, False)
    for unknown in (True, False)
]


def desk_with(listed: dict[str, str] | None, cached: dict[str, str] | None, *, online: bool, **keys: Any) -> Desk:
    """The tag ``A`` in the list and in the cache, as given."""
    desk = Desk(online=online, **keys)
    if cached is not None:
        desk.desk.cache.put("A", Verdict.of(cached), NOW.utc_ms)
    if listed is not None:
        desk.desk.list.receive(
            {"listVersion": 1, "updateType": "Full", "localAuthorizationList": [{"idTag": "A", "idTagInfo": listed}]},  # type: ignore[typeddict-item]
            10,
            10,
        )
    return desk


# the decision table, line by line


@pytest.mark.parametrize("cached", CACHES)
def test_decide_online_listed_ok_with_local_pre_authorize_authorizes(cached: dict[str, str] | None) -> None:
    """CORE-AUTH-03, CORE-AUTH-10: whatever the cache says."""
    assert desk_with(OK, cached, online=True, LocalPreAuthorize=True).decide("a") == "Accepted"


@pytest.mark.parametrize("cached", CACHES)
def test_decide_online_listed_ok_without_local_pre_authorize_asks(cached: dict[str, str] | None) -> None:
    """CORE-AUTH-04."""
    assert desk_with(OK, cached, online=True, LocalPreAuthorize=False).decide("A") == "ask"


@pytest.mark.parametrize("keys", BOTH_PRE)
@pytest.mark.parametrize("cached", CACHES)
@pytest.mark.parametrize("listed", NOT_OK)
def test_decide_online_listed_not_ok_asks(
    listed: dict[str, str], cached: dict[str, str] | None, keys: dict[str, bool]
) -> None:
    """CORE-AUTH-10, AMB-07."""
    assert desk_with(listed, cached, online=True, **keys).decide("A") == "ask"


def test_decide_online_cached_ok_with_local_pre_authorize_authorizes() -> None:
    """CORE-AUTH-03."""
    assert desk_with(None, OK, online=True, LocalPreAuthorize=True).decide("A") == "Accepted"


def test_decide_online_cached_ok_without_local_pre_authorize_asks() -> None:
    """CORE-AUTH-04."""
    assert desk_with(None, OK, online=True, LocalPreAuthorize=False).decide("A") == "ask"


@pytest.mark.parametrize("keys", BOTH_PRE)
@pytest.mark.parametrize("cached", NOT_OK)
def test_decide_online_cached_not_ok_asks_again(cached: dict[str, str], keys: dict[str, bool]) -> None:
    """CORE-AUTH-15."""
    assert desk_with(None, cached, online=True, **keys).decide("A") == "ask"


@pytest.mark.parametrize("keys", BOTH_PRE)
def test_decide_online_unknown_asks(keys: dict[str, bool]) -> None:
    """CORE-AUTH-02."""
    assert desk_with(OK, OK, online=True, **keys).decide("B") == "ask"


@pytest.mark.parametrize("cached", CACHES)
@pytest.mark.parametrize("unknown", [True, False])
def test_decide_offline_listed_ok_authorizes(cached: dict[str, str] | None, unknown: bool) -> None:
    """CORE-AUTH-10, CORE-AUTH-16."""
    desk = desk_with(OK, cached, online=False, AllowOfflineTxForUnknownId=unknown)
    assert desk.decide("a") == "Accepted"


@pytest.mark.parametrize("keys", OFFLINE_KEYS)
@pytest.mark.parametrize("cached", CACHES)
@pytest.mark.parametrize("listed", NOT_OK)
def test_decide_offline_listed_not_ok_refuses(
    listed: dict[str, str], cached: dict[str, str] | None, keys: dict[str, bool]
) -> None:
    """CORE-AUTH-10, CORE-AUTH-17, CORE-AUTH-18, AMB-07: whatever keys and cache say."""
    expected = "Expired" if listed is EXPIRED else listed["status"]
    assert desk_with(listed, cached, online=False, **keys).decide("A") == expected


@pytest.mark.parametrize("unknown", [True, False])
def test_decide_offline_cached_ok_authorizes(unknown: bool) -> None:
    """CORE-AUTH-16."""
    assert desk_with(None, OK, online=False, AllowOfflineTxForUnknownId=unknown).decide("A") == "Accepted"


@pytest.mark.parametrize("keys", OFFLINE_KEYS)
@pytest.mark.parametrize("cached", NOT_OK)
def test_decide_offline_cached_not_ok_refuses(cached: dict[str, str], keys: dict[str, bool]) -> None:
    """CORE-AUTH-11, CORE-AUTH-18: known as bad is not unknown."""
    assert desk_with(None, cached, online=False, **keys).decide("A") != "Accepted"


@pytest.mark.parametrize(("listed", "cached"), [(OK, None), (OK, OK), (None, OK)])
@pytest.mark.parametrize("unknown", [True, False])
def test_decide_offline_known_without_local_authorize_offline_refuses(
    listed: dict[str, str] | None, cached: dict[str, str] | None, unknown: bool
) -> None:
    """CORE-AUTH-16, AMB-08."""
    keys = {"LocalAuthorizeOffline": False, "AllowOfflineTxForUnknownId": unknown}
    assert desk_with(listed, cached, online=False, **keys).decide("A") == "Invalid"


@pytest.mark.parametrize("keys", OFFLINE_KEYS)
def test_decide_offline_unknown_follows_its_own_key(keys: dict[str, bool]) -> None:
    """CORE-AUTH-19, AMB-08."""
    expected = "Accepted" if keys["AllowOfflineTxForUnknownId"] else "Invalid"
    assert desk_with(OK, OK, online=False, **keys).decide("B") == expected


def test_rules_cover_every_link_and_standing() -> None:
    """CORE-AUTH-02, CORE-AUTH-16."""
    assert len(RULES) == 6


def test_decide_tag_that_is_only_a_parent_is_unknown() -> None:
    """CORE-GEN-09."""
    desk = desk_with({"status": "Accepted", "parentIdTag": "G1"}, None, online=False)
    assert desk.decide("G1") == "Invalid"
    assert desk.desk.parent_of("A", desk.now) == "G1"


@pytest.mark.parametrize("where", ["list", "cache"])
def test_decide_tag_expires_when_its_time_comes(where: str) -> None:
    """CORE-AUTH-12, CORE-AUTH-18, CORE-LL-16: in both, offline; its group is told no more."""
    info = {"status": "Accepted", "expiryDate": FUTURE, "parentIdTag": "G"}
    desk = desk_with(info if where == "list" else None, info if where == "cache" else None, online=False)
    assert desk.later(1.9).decide("A") == "Accepted"
    assert desk.desk.parent_of("A", desk.now) == "G"
    assert desk.later(0.1).decide("A") == "Expired"
    assert desk.desk.parent_of("A", desk.now) is None


def test_decide_verdict_carries_group_and_date() -> None:
    """CORE-AUTH-03."""
    desk = desk_with({"status": "Accepted", "parentIdTag": "G", "expiryDate": FUTURE}, None, online=False)
    assert desk.desk.decide("A", desk.now) == Verdict("Accepted", "G", FUTURE)


# Authorize.req


def test_ask_decided_here_calls_back_at_once_and_sends_nothing() -> None:
    """CORE-AUTH-03, CORE-AUTH-07."""
    desk = desk_with(OK, None, online=True, LocalPreAuthorize=True).ask("A")
    assert desk.heard == [("A", Verdict("Accepted"))]
    assert desk.sent() == []


def test_ask_sends_the_tag_as_presented_and_hears_the_csms() -> None:
    """CORE-AUTH-02, CORE-GEN-07."""
    desk = Desk().ask("a-B.c_*:;!")
    assert desk.heard == []
    assert desk.sent() == [{"idTag": "a-B.c_*:;!"}]
    desk.answer({"status": "Accepted", "parentIdTag": "G"})
    assert desk.heard == [("a-B.c_*:;!", Verdict("Accepted", "G"))]


def test_ask_for_one_tag_several_times_sends_one_authorize() -> None:
    """CORE-AUTH-07, CORE-GEN-08: each who asked hears once."""
    desk = Desk().ask("A", "a", "B")
    assert desk.sent() == [{"idTag": "A"}]
    assert desk.answer(OK).sent() == [{"idTag": "B"}]
    assert desk.heard == [("A", Verdict("Accepted")), ("a", Verdict("Accepted"))]
    desk.answer(BLOCKED)
    assert desk.heard[2:] == [("B", Verdict("Blocked"))]
    assert desk.ask("A").sent() == [{"idTag": "A"}]


def test_ask_while_offline_is_decided_at_once() -> None:
    """CORE-AUTH-19."""
    desk = Desk(online=False).ask("A")
    assert desk.heard == [("A", Verdict("Invalid"))]
    assert desk.sent() == []


@pytest.mark.parametrize("how", ["timeout", "CALLERROR", "lost in flight", "lost while waiting"])
@pytest.mark.parametrize(("tag", "status"), [("A", "Accepted"), ("B", "Blocked"), ("C", "Invalid")])
def test_ask_without_an_answer_is_decided_as_offline(how: str, tag: str, status: str) -> None:
    """CORE-AUTH-16, CORE-AUTH-17, CORE-AUTH-19, AMB-21: though the link may be there."""
    desk = Desk()
    desk.listed(A=OK, B=BLOCKED)
    desk.ask(tag, tag)
    if how == "lost while waiting":
        desk.prompt.clear(desk.now)
    else:
        assert desk.sent() == [{"idTag": tag}]
        if how == "timeout":
            desk.outbox.handle_timeout(desk.now)
        elif how == "CALLERROR":
            desk.outbox.receive_error(next(iter(desk.outbox.pending)), "InternalError", "", desk.now)
        else:
            desk.outbox.disconnected(desk.now)
    assert [(name, verdict.status) for name, verdict in desk.heard] == [(tag, status)] * 2
    assert desk.sent() == []


def test_ask_beyond_the_limit_is_decided_as_offline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """J-351: a limit that is told; those who wait already are not affected."""
    monkeypatch.setattr(authorization, "MAX_WAITING", 2)
    desk = Desk(AllowOfflineTxForUnknownId=True).ask("A", "B", "C", "a")
    assert desk.heard == [("C", Verdict("Accepted"))]
    assert "wait for the CSMS" in caplog.text
    assert desk.sent() == [{"idTag": "A"}]
    assert len(desk.answer(BLOCKED).heard) == 3


def test_ask_again_from_inside_an_answer_is_a_question_of_its_own() -> None:
    """CORE-AUTH-15: the one before is over when its answer is told."""
    desk = Desk()

    def ask_again(verdict: Verdict, now: Instant) -> None:
        desk.ask("A")

    desk.desk.ask("A", ask_again, desk.now)
    desk.sent()
    assert desk.answer(BLOCKED).sent() == [{"idTag": "A"}]
    desk.answer(OK)
    assert desk.heard == [("A", Verdict("Accepted"))]


# what the CSMS says


def test_learn_caches_valid_and_invalid_tags_over_a_restart() -> None:
    """CORE-AUTH-08, CORE-AUTH-11, CORE-AUTH-14, CORE-TX-20: Authorize, Start- and StopTransaction alike."""
    desk = Desk().ask("A")
    desk.sent()
    desk.answer(OK)
    desk.cached(B=BLOCKED, C={"status": "Accepted", "parentIdTag": "G"})
    desk.online = False
    desk = desk.restarted(AllowOfflineTxForUnknownId=True)
    assert [desk.decide(tag) for tag in "ABC"] == ["Accepted", "Blocked", "Accepted"]
    assert desk.desk.parent_of("c", desk.now) == "G"
    assert desk.desk.parent_of("unknown", desk.now) is None


def test_learn_last_word_counts() -> None:
    """CORE-AUTH-08."""
    desk = Desk(online=False).cached(A=OK).cached(a=BLOCKED)
    assert desk.decide("A") == "Blocked"


def test_learn_listed_tag_stays_out_of_the_cache_and_the_list_as_it_is() -> None:
    """CORE-AUTH-09, CORE-LL-13."""
    desk = Desk(online=False)
    desk.listed(A=OK)
    desk.cached(A=BLOCKED)
    assert desk.decide("A") == "Accepted"
    assert desk.listed("Differential", 2, A=None) == "Accepted"
    assert desk.decide("A") == "Invalid"


def test_list_entry_takes_its_tag_out_of_the_cache() -> None:
    """CORE-LL-15: added and deleted again, the tag is unknown; a tag that is deleted only, too."""
    desk = Desk(online=False).cached(A=OK, B=OK, C=OK)
    assert desk.listed(a=BLOCKED) == "Accepted"
    assert desk.listed("Differential", 2, A=None, b=None) == "Accepted"
    assert [desk.decide(tag) for tag in "ABC"] == ["Invalid", "Invalid", "Accepted"]
    assert [desk.restarted().decide(tag) for tag in "ABC"] == ["Invalid", "Invalid", "Accepted"]


def test_list_that_is_refused_leaves_the_cache_alone() -> None:
    """CORE-LL-08: nothing is changed."""
    desk = Desk(online=False).cached(A=OK)
    assert desk.listed(A=BLOCKED, a=BLOCKED) == "Failed"
    assert desk.decide("A") == "Accepted"


@pytest.mark.parametrize(
    ("listed", "said", "is_conflict"),
    [
        (OK, "Accepted", False),
        (OK, "Blocked", True),
        (OK, "Expired", True),
        (OK, "Invalid", True),
        (OK, "ConcurrentTx", False),
        (BLOCKED, "Accepted", True),
        (EXPIRED, "Accepted", True),
        ({"status": "ConcurrentTx"}, "Accepted", True),
        (BLOCKED, "Invalid", False),
        (EXPIRED, "Expired", False),
        (None, "Blocked", False),
    ],
)
def test_learn_contradiction_of_the_list_is_a_conflict(
    listed: dict[str, str] | None, said: str, is_conflict: bool
) -> None:
    """CORE-AUTH-20, AMB-07: whichever confirmation says it; told once for each."""
    desk = Desk()
    tags: dict[str, Any] = {"A": listed} if listed else {"B": OK}
    desk.listed(**tags)
    desk.desk.learn("a", {"status": said}, desk.now)
    assert desk.conflicts == is_conflict
    desk.ask("A")
    desk.sent()
    desk.answer({"status": said})
    assert desk.conflicts == 2 * is_conflict
    assert desk.heard == [("A", Verdict(said))]


# switches


def test_cache_switched_off_is_neither_used_nor_filled() -> None:
    """CORE-AUTH-23."""
    desk = Desk(online=False).cached(A=OK)
    desk = desk.restarted(AuthorizationCacheEnabled=False).cached(B=OK)
    assert [desk.decide(tag) for tag in "AB"] == ["Invalid", "Invalid"]
    assert desk.desk.cache.get("B") is None
    assert desk.call("ClearCache") == {"status": "Rejected"}


def test_clear_cache_empties_it_and_leaves_the_list() -> None:
    """CORE-AUTH-22: for good."""
    desk = Desk(online=False)
    desk.listed(B=OK)
    desk.cached(A=OK)
    assert desk.call("ClearCache") == {"status": "Accepted"}
    assert [desk.decide(tag) for tag in "AB"] == ["Invalid", "Accepted"]
    assert [desk.restarted().decide(tag) for tag in "AB"] == ["Invalid", "Accepted"]


OFF: list[dict[str, bool | str]] = [
    {"LocalAuthListEnabled": False},
    {"SupportedFeatureProfiles": "Core,RemoteTrigger"},
]


@pytest.mark.parametrize("keys", OFF)
def test_list_switched_off_is_not_there_and_comes_back(keys: dict[str, bool | str]) -> None:
    """CORE-LL-01, CORE-LL-02, CORE-LL-11, AMB-06: by the key and with the feature profile."""
    desk = Desk(online=False)
    assert desk.listed(version=4, A=OK) == "Accepted"
    off = desk.restarted(**keys)
    assert off.call("GetLocalListVersion") == {"listVersion": -1}
    assert off.listed(version=5, B=OK) == "NotSupported"
    assert off.decide("A") == "Invalid"
    assert off.cached(A=BLOCKED).conflicts == 0
    assert off.decide("A") == "Blocked"
    on = off.restarted()
    assert on.call("GetLocalListVersion") == {"listVersion": 4}
    assert on.decide("A") == "Accepted"


def test_list_answers_its_version_and_limits() -> None:
    """CORE-LL-01, CORE-LL-09, CORE-LL-10: limits of hub.toml."""
    desk = Desk(online=False, LocalAuthListMaxLength="3", SendLocalListMaxLength="2")
    assert desk.call("GetLocalListVersion") == {"listVersion": 0}
    assert desk.listed(version=7, A=OK, B=OK, C=OK) == "Failed"
    assert desk.listed(version=7, A=OK, B=OK) == "Accepted"
    assert desk.listed("Differential", 8, C=OK, D=OK) == "Failed"
    assert desk.listed("Differential", 7, C=OK) == "VersionMismatch"
    assert desk.listed("Differential", 8, C=OK) == "Accepted"
    assert desk.restarted().call("GetLocalListVersion") == {"listVersion": 8}


def test_list_limits_of_a_hub_are_announced() -> None:
    """CORE-LL-09: a message of that many of the longest entries fits the 1 MiB of a frame."""
    configuration = Desk().configuration
    assert configuration.integer("LocalAuthListMaxLength") == 100_000
    info = {"status": "ConcurrentTx", "parentIdTag": "P" * 20, "expiryDate": "2027-01-15T08:00:00.000+00:00"}
    entry = {"idTag": "T" * 20, "idTagInfo": info}
    frame = orjson.dumps([2, "i" * 36, "SendLocalList", [entry] * configuration.integer("SendLocalListMaxLength")])
    assert len(frame) < 2**20
