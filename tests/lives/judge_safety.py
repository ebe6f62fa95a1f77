"""Who may charge, who may touch what, and what a meter is believed.

Owns S1 to S4 and E5 of reliability.md 4.5. The rules of authorisation are judged from outside: a tag that nobody ever
accepted must not charge, and a session needs a tag presented at its connector.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.lives.judge_wire import SLOWEST_DISK_S, Complain
from tests.lives.records import (
    Began,
    Called,
    Commanded,
    Disturbed,
    Failed,
    Header,
    Linked,
    Probed,
    Published,
    Received,
    Record,
    Replied,
    Sent,
)

NEVER_ACCEPTED = ("BLOCKED", "EXPIRED", "INVALID")
ASKING_S = 45.0
"""How long the CSMS may be asked about a tag while another session begins and ends at the connector."""
FLOATING_S = 150.0
"""A tag presented at no connector in particular waits so long for the next vehicle, the answer of the CSMS included."""
SETTLED_S = 60.0
"""How old a refusal must be to be certainly in the authorisation cache."""


class Safety:
    """Authorisation, permits, attachment and the guard of the meter."""

    def __init__(self, header: Header, complain: Complain) -> None:
        self._header, self._complain = header, complain
        self._presented: list[tuple[str, int | None, str, float]] = []
        """Tag, connector (``None``: any), ``swipe`` or ``remote``, when."""
        self._started_s: dict[int, float] = defaultdict(lambda: float("-inf"))
        self._sessions: set[int] = set()
        self._calls: dict[str, Sent] = {}
        self._transmissions: dict[bytes, int] = defaultdict(int)
        self._open: str | None = None
        self._refused: dict[int, tuple[float, dict[str, Any]]] = {}
        self._known_bad: dict[str, float] = {}
        self._expected: dict[int, Commanded] = {}
        self._accepted_after_all: set[str] = set()

    def see(self, record: Record) -> None:
        """Take one record."""
        if isinstance(record, Commanded):
            self._commanded(record)
        elif isinstance(record, Called):
            self._called(record)
        elif isinstance(record, Replied):
            self._replied(record)
        elif isinstance(record, Published):
            if record.topic == "transaction" and record.value["event"] == "started":
                self._started(record)
        elif isinstance(record, Sent):
            self._open = record.unique_id
            self._calls[record.unique_id] = record
            if record.action == "StartTransaction":
                self._transmissions[record.raw] += 1
        elif isinstance(record, Received):
            self._received(record)
        elif isinstance(record, Linked):
            self._open = None
        elif isinstance(record, Began):
            # A refusal that was not on the disk yet is forgotten: it comes again with the next transmission.
            self._known_bad = {tag: at_s for tag, at_s in self._known_bad.items() if at_s < record.at_s - SETTLED_S}
            self._refused = {c: each for c, each in self._refused.items() if each[0] < record.at_s - SLOWEST_DISK_S}
        elif isinstance(record, Probed):
            self._probed(record)
        elif isinstance(record, Disturbed):
            self._complain("S3", record, record.what)
        elif isinstance(record, Failed):
            self._complain("CRASH", record, record.text)

    # S1

    def _commanded(self, record: Commanded) -> None:
        if record.expects:
            self._expected[record.request] = record
        if record.name == "authorize":
            tag = record.params["id_tag"].upper()
            self._presented.append((tag, record.params.get("connector_id"), "swipe", record.at_s))

    def _called(self, record: Called) -> None:
        if record.action == "RemoteStartTransaction":
            tag = record.payload["idTag"].upper()
            self._presented.append((tag, record.payload.get("connectorId"), "remote", record.at_s))
        elif record.action == "ClearCache":
            self._known_bad.clear()

    def _started(self, record: Published) -> None:
        value = record.value
        if value["session_id"] in self._sessions:
            return
        self._sessions.add(value["session_id"])
        connector_id, tag = value["connector_id"], value["id_tag"].upper()
        since_s, self._started_s[connector_id] = self._started_s[connector_id], record.at_s
        ways = {
            way
            for presented, where, way, at_s in self._presented
            if presented == tag
            and (
                (where == connector_id and at_s >= since_s - ASKING_S)
                or (where is None and at_s >= record.at_s - FLOATING_S)
            )
        }
        if self._header.free_vend.get(connector_id, "").upper() == tag:
            return
        if not ways:
            self._complain("S1", record, f"connector {connector_id} charges for {tag}, which was not presented there")
        elif (
            tag.startswith(NEVER_ACCEPTED)
            and tag not in self._accepted_after_all
            and not self._may_charge_unaccepted(tag, ways, record.at_s)
        ):
            self._complain("S1", record, f"connector {connector_id} charges for {tag}, which nobody accepted")

    def _may_charge_unaccepted(self, tag: str, ways: set[str], at_s: float) -> bool:
        if "remote" in ways and self._header.remote_needs_no_authorization:
            return True
        return self._header.allows_unknown_offline and at_s - self._known_bad.get(tag, at_s) < SETTLED_S

    # S4

    def _received(self, answer: Received) -> None:
        call = self._calls.get(answer.unique_id)
        if call is None or self._open != answer.unique_id or not answer.is_valid:
            return
        if answer.at_s > call.at_s + self._header.message_timeout_s:
            return
        self._open = None
        if call.action == "Authorize" and answer.payload["idTagInfo"]["status"] != "Accepted":
            self._known_bad.setdefault(call.payload["idTag"].upper(), answer.at_s)
        if call.action != "StartTransaction":
            return
        status = answer.payload["idTagInfo"]["status"]
        if status == "Accepted":  # a CSMS that contradicts itself
            self._accepted_after_all.add(call.payload["idTag"].upper())
        is_ours = status == "ConcurrentTx" and self._transmissions[call.raw] > 1
        if status != "Accepted" and not is_ours:
            self._refused[call.payload["connectorId"]] = (answer.at_s, call.payload)

    def _probed(self, record: Probed) -> None:
        transaction, permit = record.state["transaction"], record.state["permit"]
        connector_id = record.connector_id
        if permit["energize"] and transaction is None:
            self._complain("S1", record, f"connector {connector_id} may draw without a transaction")
        refused = self._refused.get(connector_id)
        if refused is not None and transaction is not None and record.at_s >= refused[0] + 0.999:
            start = refused[1]
            is_that = (transaction["id_tag"], transaction["meter_start_wh"]) == (start["idTag"], start["meterStart"])
            if is_that and transaction["start"] == start["timestamp"] and permit["energize"]:
                self._complain("S4", record, f"connector {connector_id} may draw 1 s after its tag was refused")
        if record.composite_a is not None and permit["energize"] and permit["limit_a"] > record.composite_a + 0.05:
            text = f"connector {connector_id} may draw {permit['limit_a']} A, its composite says {record.composite_a}"
            self._complain("S2", record, text)

    # E5 and other bad input

    def _replied(self, record: Replied) -> None:
        if record.error is not None and record.error["code"] == "internal":
            self._complain("CRASH", record, record.error["message"])
        if record.error is not None and record.is_direct and record.wrote:
            self._complain("S3", record, f"a refused command wrote: {record.error}")
        asked = self._expected.pop(record.request, None)
        if asked is None:
            return
        if asked.expects == "refused" and record.error is None:
            invariant = "E5" if "energy_wh" in asked.params else "INPUT"
            self._complain(invariant, record, f"{asked.name} {asked.params} was not refused")
        elif asked.expects == "ok" and record.error is not None:
            self._complain("E5", record, f"{asked.name} {asked.params} was refused: {record.error}")
        elif record.error is not None and asked.expects == "refused" and not record.error["code"]:
            self._complain("INPUT", record, f"{asked.params} was refused without a reason")
