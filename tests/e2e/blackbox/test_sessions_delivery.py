"""Answers that come late, wrong or not at all: retries, order, overtaking, what is given up, what is put aside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Link
from .sessions import Json, Site, site_of

CONFIGURATION = """
MeterValueSampleInterval = 0
TransactionMessageRetryInterval = 1
TransactionMessageAttempts = 2
MessageTimeout = 1
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(30, configuration=CONFIGURATION, link="ping_interval_s = 1\npong_timeout_s = 5") as site:
        yield site


def refuse(_link: Link, message_id: str, *_: Any) -> list[Any]:
    return [4, message_id, "InternalError", "not today", {}]


def test_refused_start_is_repeated_and_given_up_and_followers_say_minus_one(site: Site) -> None:
    """CORE-TXQ-05, CORE-TXQ-08, CORE-TX-09: fresh id, same payload, interval x attempts, then -1."""
    driver, n = site.fresh()
    driver.plug(n)
    with site.books.scripted("StartTransaction", refuse):
        driver.call("connector.authorize", id_tag="GIVEN-UP", connector_id=n)
        first = site.books.wait("StartTransaction", idTag="GIVEN-UP")
        begin = time.monotonic()
        second = site.books.wait("StartTransaction", 2, idTag="GIVEN-UP")
        assert 0.8 < time.monotonic() - begin < 2
    assert first == second
    frames = [f for f in site.link.calls("StartTransaction") if f[3]["idTag"] == "GIVEN-UP"]
    assert len({f[1] for f in frames}) == 2
    assert driver.state(n)["transaction"]["id_tag"] == "GIVEN-UP"
    driver.call("connector.stop_transaction", connector_id=n)
    stop = site.books.wait("StopTransaction", transactionId=-1)
    assert stop["meterStop"] == 1000
    assert len(site.books.of("StartTransaction", idTag="GIVEN-UP")) == 2
    row = next(r for r in driver.call("transaction.list")["transactions"] if r["id_tag"] == "GIVEN-UP")
    assert row["delivered"] is False, "the CSMS never had its start"


def test_start_without_answer_counts_as_an_attempt_and_then_goes_through(site: Site) -> None:
    """AMB-01, CORE-AUTH-21: a time-out on a live link; ConcurrentTx after an unanswered transmission is ours."""
    driver, n = site.fresh()
    driver.plug(n)
    answers = iter([None, {"transactionId": 4711, "idTagInfo": {"status": "ConcurrentTx"}}])
    with site.books.scripted("StartTransaction", lambda *_: next(answers)):
        driver.call("connector.authorize", id_tag="OURS", connector_id=n)
        site.books.wait("StartTransaction", 2, idTag="OURS")
        assert site.running(driver, n) == 4711
    assert (driver.state(n)["status"], driver.state(n)["permit"]["energize"]) == ("Charging", True)
    assert site.books.of("StopTransaction", transactionId=4711) == []
    driver.call("connector.stop_transaction", connector_id=n)
    assert site.books.wait("StopTransaction", transactionId=4711)["reason"] == "Local"


def test_concurrent_tx_at_the_first_transmission_is_a_refusal(site: Site) -> None:
    """CORE-AUTH-21."""
    driver, n = site.fresh()
    driver.plug(n)
    answer = {"transactionId": 4712, "idTagInfo": {"status": "ConcurrentTx"}}
    with site.books.scripted("StartTransaction", answer):
        driver.call("connector.authorize", id_tag="TWICE", connector_id=n)
        assert site.books.wait("StopTransaction", transactionId=4712)["reason"] == "DeAuthorized"


def test_late_answer_to_an_earlier_transmission_leaves_one_id(site: Site) -> None:
    """AMB-02 would take it, J-237 drops it: either is right, and the session has one id to its end."""
    driver, n = site.fresh()
    driver.plug(n)
    answers = iter([None, {"transactionId": 4714, "idTagInfo": {"status": "Accepted"}}])
    with site.books.scripted("StartTransaction", lambda *_: next(answers)):
        driver.call("connector.authorize", id_tag="LATE", connector_id=n)
        site.books.wait("StartTransaction", idTag="LATE")
        first = next(f for f in site.link.calls("StartTransaction") if f[3]["idTag"] == "LATE")
        time.sleep(1.2)
        site.link.send([3, first[1], {"transactionId": 4713, "idTagInfo": {"status": "Accepted"}}])
        transaction_id = site.running(driver, n)
    assert transaction_id in {4713, 4714}
    driver.call("connector.stop_transaction", connector_id=n)
    assert site.books.wait("StopTransaction", transactionId=transaction_id)["reason"] == "Local"


def test_one_failing_message_holds_up_the_others_but_not_authorize_and_data(site: Site) -> None:
    """CORE-TXQ-03, CORE-TXQ-04: one queue per charge point; Authorize, DataTransfer and status overtake it."""
    a, n, first_id = site.charging("SLOW-A")
    b, m = site.fresh()
    b.plug(m)
    failing = True

    def answer(_link: Link, message_id: str, _action: str, payload: Json) -> Any:
        return refuse(_link, message_id) if failing and payload["transactionId"] == first_id else {}

    with site.books.scripted("StopTransaction", answer):
        a.call("connector.stop_transaction", connector_id=n)
        site.books.wait("StopTransaction", transactionId=first_id)
        b.call("connector.authorize", id_tag="BEHIND", connector_id=m)
        assert b.call("data_transfer", vendor_id="V", message_id="m", data="d") == {"status": "Accepted"}
        assert b.call("connector.authorize", id_tag="ANOTHER", connector_id=a_third(site, b))["status"] == "Accepted"
        assert site.books.of("StartTransaction", idTag="BEHIND") == []
        waiting = [row["action"] for row in b.call("outbox.list", limit=10)]
        assert waiting == ["StopTransaction", "StartTransaction", "StartTransaction"]
        failing = False
        site.running(b, m)
    order = [p.get("transactionId", p.get("idTag")) for act, p in site.books.calls if act.endswith("Transaction")]
    assert order.index("BEHIND") > len(order) - 1 - order[::-1].index(first_id)
    assert site.books.of("DataTransfer")[-1] == {"vendorId": "V", "messageId": "m", "data": "d"}


def a_third(site: Site, driver: Any) -> int:
    """A connector of this controller where a vehicle waits."""
    n = next(site.next_connector)
    driver.attach(n)
    driver.plug(n)
    return n


def test_authorize_without_answer_is_decided_here(site: Site) -> None:
    """CORE-AUTH-19, decision table (time-out and CALLERROR as offline): a stranger is refused, quickly."""
    driver, n = site.fresh()
    driver.plug(n)
    for answer in (None, refuse):
        with site.books.scripted("Authorize", answer):
            begin = time.monotonic()
            status = driver.call("connector.authorize", id_tag="STRANGER", connector_id=n)["status"]
            assert status == "Invalid"
            assert time.monotonic() - begin < 3
    assert driver.state(n)["transaction"] is None


def test_data_transfer_answers_what_the_csms_says(site: Site) -> None:
    """CORE-DT-04, rpc.md data_transfer: statuses, data, Offline on a time-out, -32008 for a CALLERROR."""
    driver = site.driver()
    for status in ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"):
        with site.books.scripted("DataTransfer", {"status": status, "data": "\u00e4"}):
            assert driver.call("data_transfer", vendor_id="V") == {"status": status, "data": "\u00e4"}
    with site.books.scripted("DataTransfer", None):
        assert driver.call("data_transfer", vendor_id="V") == {"status": "Offline"}
    with site.books.scripted("DataTransfer", refuse):
        error = driver.fails("data_transfer", {"vendor_id": "V"})
    assert (error.code, error.data["code"], error.data["ocpp_code"]) == (-32008, "ocpp_call_error", "InternalError")


def test_unknown_outbox_entry_cannot_be_retried(site: Site) -> None:
    """rpc.md outbox.retry {id}: an error that names the field."""
    error = site.driver().fails("outbox.retry", {"id": "tx-999999"})
    assert error.code in {-32602, -32007}
    assert set(error.data) >= {"code", "path", "hint"}
    assert error.data["path"] == "/params/id"


def test_many_sessions_at_once_are_delivered_one_call_at_a_time(site: Site) -> None:
    """J-201, D2: ten starts and ten stops, each answered before the next leaves."""
    driver = site.driver()
    numbers = [next(site.next_connector) for _ in range(8)]
    driver.attach(*numbers)
    for n in numbers:
        driver.plug(n)
    begin = len(site.link.frames)
    posted = [driver.post("connector.authorize", {"id_tag": f"MANY-{n}", "connector_id": n}) for n in numbers]
    assert {driver.take(request_id)["status"] for request_id in posted} == {"Accepted"}
    ids = {n: site.running(driver, n) for n in numbers}
    for n in numbers:
        driver.post("connector.stop_transaction", {"connector_id": n})
    for n in numbers:
        site.books.wait("StopTransaction", transactionId=ids[n])
    waiting = None
    for way, text in site.link.frames[begin:]:
        if way == ">" and text.startswith("[2,"):
            assert waiting is None, text
            waiting = text.split('"')[1]
        elif way == "<" and waiting is not None and f'"{waiting}"' in text[:60]:
            waiting = None
    assert [p["idTag"] for p in site.books.of("StartTransaction")][-8:] == [f"MANY-{n}" for n in numbers]
