"""The one CALL in flight, what waits for it, and what must be delivered."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ocpphub.core import outbox
from ocpphub.core.effects import Discard, Send, Store
from ocpphub.core.outbox import Gate, Outcome, OwnCall, PromptQueue
from ocpphub.errors import UnavailableError
from tests.builders import Csms, World


def booted(csms: Csms | None = None) -> World:
    """Booted by a friendly CSMS, whose place ``csms`` takes then."""
    world = World().boot().forget()
    world.csms = csms or world.csms
    return world


def raise_event(world: World, kind: str = "TamperDetectionActivated") -> int:
    return world.command("security_event", kind, None)


def events(world: World) -> list[str]:
    return [payload["type"] for payload in world.sent("SecurityEventNotification")]


def test_outbox_answer_withheld_sends_no_second_call() -> None:
    """CORE-RPC-05, J-233, D-09."""
    world = booted(Csms(silent={"DataTransfer"}))
    for _ in range(3):
        world.command("data_transfer", "v", None, None)
    world.advance(29.9)
    assert world.actions == ["DataTransfer"]
    world.advance(0.1)
    assert world.actions == ["DataTransfer", "DataTransfer"]


def test_outbox_message_timeout_follows_its_key() -> None:
    """CORE-RPC-14, J-236, D-11."""
    world = booted(Csms(silent={"DataTransfer"}))
    world.ask("ChangeConfiguration", {"key": "MessageTimeout", "value": "2"})
    request = world.command("data_transfer", "v", None, None)
    world.advance(1.9)
    assert request not in world.replies
    world.advance(0.1)
    assert world.result(request) == {"status": "Offline"}


def test_outbox_two_identities_do_not_wait_for_each_other() -> None:
    """J-235."""
    silent, other = booted(Csms(silent={"DataTransfer"})), booted()
    silent.command("data_transfer", "v", None, None)
    request = other.command("data_transfer", "v", None, None)
    other.advance(0)
    assert other.result(request) == {"status": "Accepted"}


def test_outbox_ids_are_short_and_never_used_twice_over_restarts() -> None:
    """CORE-RPC-07, J-231, D-10, AMB-02: retries included."""
    world = World(csms=Csms(interval_s=5, errors={"SecurityEventNotification": "InternalError"})).boot().advance(600)
    again = world.crash(boot_id="ffffffffffffffff").boot().advance(600)
    ids = [call.unique_id for call in world.calls + again.calls]
    assert len(ids) == len(set(ids)) > 100
    assert max(len(unique_id) for unique_id in ids) <= 36


def test_outbox_late_answer_is_dropped_and_shifts_nothing() -> None:
    """J-237, J-238, J-274, T22."""
    world = booted(Csms(silent={"DataTransfer"}))
    first = world.command("data_transfer", "first", None, None)
    second = world.command("data_transfer", "second", None, None)
    late = world.calls[-1].unique_id
    world.advance(30)
    world.receive([3, late, {"status": "Rejected"}])
    assert world.result(first) == {"status": "Offline"}
    assert second not in world.replies
    world.receive([3, world.calls[-1].unique_id, {"status": "Accepted"}])
    assert world.result(second) == {"status": "Accepted"}
    assert world.core._outbox.counters.unexpected_answers == 1


@pytest.mark.parametrize("frame", [[3, "nobody", {}], [4, "nobody", "GenericError", "", {}], [4, "-1", "x", "", {}]])
def test_outbox_answer_for_an_unknown_id_is_dropped_and_counted(frame: list[object]) -> None:
    """J-274, J-261, T22."""
    world = booted(Csms(silent={"DataTransfer"}))
    request = world.command("data_transfer", "v", None, None)
    world.receive(frame)
    assert world.core._outbox.counters.unexpected_answers == 1
    assert request not in world.replies
    assert world.answers == []


def test_outbox_duplicate_answer_is_dropped() -> None:
    """J-274, T22."""
    world = booted(Csms(silent={"DataTransfer"}))
    request = world.command("data_transfer", "v", None, None)
    for _ in range(2):
        world.receive([3, world.calls[0].unique_id, {"status": "Accepted"}])
    assert world.result(request) == {"status": "Accepted"}
    assert world.core._outbox.counters.unexpected_answers == 1


def test_outbox_flood_of_answers_is_an_invalid_messages_event() -> None:
    """T22: more than 100 a minute; nothing grows."""
    world = booted()
    for index in range(1_000):
        world.receive([3, f"x{index}", {}])
    assert [event["type"] for event in world.published("security_event")] == ["InvalidMessages"]
    assert world.core._outbox.pending == {}


@pytest.mark.parametrize("frame", ['[3,"{}",{{"status":"What"}}]', '[3,"{}",{{"stat', '[3,"{}",[]]'])
def test_outbox_broken_confirmation_fails_its_call_at_once(frame: str) -> None:
    """J-273, J-276: like a CALLERROR, and no frame is sent for it."""
    world = booted(Csms(silent={"DataTransfer"}))
    request = world.command("data_transfer", "v", None, None)
    world.receive(frame.format(world.calls[0].unique_id))
    assert world.replies[request].error is not None
    assert world.answers == []


@pytest.mark.parametrize("elements", [2, 3, 4, 5])
def test_outbox_call_error_of_any_length_fails_its_call(elements: int) -> None:
    """J-275."""
    world = booted(Csms(silent={"DataTransfer"}))
    request = world.command("data_transfer", "v", None, None)
    world.receive([4, world.calls[0].unique_id, "TeapotError", "no", None][:elements])
    assert world.replies[request].error is not None


def test_outbox_status_flood_is_overtaken() -> None:
    """CORE-BOOT-14, J-344: whoever waits for an answer does not wait for the flood."""
    world = World(csms=Csms(latency_s=0.1)).boot().advance(0.25)
    assert world.actions == ["BootNotification", "SecurityEventNotification", "StatusNotification"]
    world.command("data_transfer", "v", None, None)
    world.advance(0.1)
    assert world.actions[-1] == "DataTransfer"


def test_outbox_payload_that_cannot_be_encoded_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """J-278: a bug of ours costs one message."""
    world = booted()
    outcomes: list[Outcome] = []
    world.core._parts.prompt.put(
        OwnCall("DataTransfer", {"vendorId": 5}, lambda outcome, now: outcomes.append(outcome))
    )
    request = world.command("data_transfer", "v", None, None)
    world.advance(0)
    assert [outcome.kind for outcome in outcomes] == ["error"]
    assert world.result(request) == {"status": "Accepted"}
    assert "could not be encoded" in caplog.text


def test_durable_entry_is_stored_before_it_is_sent_and_discarded_after_its_answer() -> None:
    """S-212, J-349."""
    world = booted()
    raise_event(world)
    assert [type(effect) for effect in world.effects if isinstance(effect, Store | Send)] == [Store, Send]
    world.advance(0)
    assert [type(effect) for effect in world.effects][-1] is Discard
    assert not [key for key in world.rows if key[0] == "outbox"]


def test_durable_entries_travel_while_one_discard_is_on_its_way() -> None:
    """S-212: the next CALL goes before the Discard of the one just answered (decisions.md 6)."""
    world = booted(Csms(latency_s=1.0))
    for _ in range(3):
        raise_event(world)
    world.forget().advance(3)
    order = [type(effect).__name__ for effect in world.effects if isinstance(effect, Send | Discard)]
    assert order == ["Send", "Discard", "Send", "Discard", "Discard"]


def test_durable_entry_answered_with_call_error_waits_interval_times_attempts() -> None:
    """J-345, AMB-03: 20 s, 40 s, 60 s; never given up, at most an hour apart."""
    world = booted(Csms(errors={"SecurityEventNotification": "InternalError"}))
    raise_event(world)
    world.advance(2_000_000)
    times = [call.at_s for call in world.calls if call.action == "SecurityEventNotification"]
    waits = [b - a for a, b in pairwise(times)]
    assert waits[:4] == [20.0, 40.0, 60.0, 80.0]
    assert max(waits) == 3_600.0
    world.csms.errors.clear()
    world.advance(3_600)
    assert world.core.state(world.now)["queue"]["messages"] == 0


def test_durable_entry_timed_out_on_a_live_link_counts_as_an_attempt() -> None:
    """J-346, AMB-01."""
    world = booted(Csms(silent={"SecurityEventNotification"}))
    raise_event(world)
    world.advance(49)
    assert len(events(world)) == 1
    world.advance(1)
    assert len(events(world)) == 2


def test_durable_entry_under_a_lost_link_is_no_attempt() -> None:
    """J-346, D-11: it is sent again at once on the next link."""
    world = booted(Csms(silent={"SecurityEventNotification"}))
    raise_event(world)
    world.disconnect()
    world.csms.silent.clear()
    world.connect().advance(0)
    assert len(events(world)) == 2
    assert world.core.state(world.now)["queue"]["messages"] == 0


def test_durable_entry_the_csms_does_not_know_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """J-345: a CSMS without the security extension has received it and will never take it."""
    world = booted(Csms(errors={"SecurityEventNotification": "NotImplemented"}))
    raise_event(world)
    world.advance(0)
    assert world.core.state(world.now)["queue"]["messages"] == 0
    assert "does not know" in caplog.text


def test_durable_entry_that_loses_five_links_goes_aside_and_others_go_on() -> None:
    """J-346: the poison rule of decisions.md 6, retried daily."""
    world = booted()
    world.csms.scripts["SecurityEventNotification"] = lambda payload: None if payload["type"] == "Poison" else {}
    raise_event(world, "Poison")
    raise_event(world, "Good")
    for _ in range(5):
        world.disconnect().connect()
    world.advance(0)
    assert events(world) == ["Poison"] * 5 + ["Good"]
    assert world.core.state(world.now)["queue"] | {"oldest": "", "bytes": 0} == {
        "messages": 1,
        "bytes": 0,
        "oldest": "",
        "aside": 1,
    }
    world.csms.scripts.clear()
    world.advance(86_400)
    assert events(world)[-1] == "Poison"
    assert world.core.state(world.now)["queue"]["messages"] == 0


def test_durable_entries_of_an_earlier_process_keep_their_order() -> None:
    """J-343, J-349."""
    world = World().start()
    for index in range(12):
        raise_event(world, f"Event{index}")
    again = world.crash().boot().advance(0)
    assert [kind for kind in events(again) if kind != "StartupOfTheDevice"] == [f"Event{i}" for i in range(12)]


def test_durable_entries_are_listed_and_retried_on_command() -> None:
    """decisions.md 6: what waits for its retry or went aside is seen, and can be tried at once."""
    world = booted(Csms(errors={"SecurityEventNotification": "InternalError"}))
    raise_event(world)
    raise_event(world)
    world.advance(0)
    durable = world.core._parts.durable
    listed = durable.rows(5)
    assert [(row["action"], row["attempts"], row["state"]) for row in listed] == [
        ("SecurityEventNotification", 1, "retry")
    ] * 2
    assert len(durable.rows(1)) == 1
    world.csms.errors.clear()
    assert durable.retry(listed[0]["id"], world.now)
    assert not durable.retry("000000009999", world.now)
    world.advance(0)
    assert [row["id"] for row in durable.rows(5)] == [listed[1]["id"]]


def test_durable_queue_full_refuses_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """J-351: a limit that is told."""
    monkeypatch.setattr(outbox, "MAX_ENTRIES", 3)
    world = World().start()
    raise_event(world)
    raise_event(world)
    with pytest.raises(UnavailableError) as caught:
        raise_event(world)
    assert caught.value.code == "busy"
    assert caught.value.data["retry_after_ms"] > 0


def test_durable_queue_state_tells_messages_bytes_and_oldest() -> None:
    """J-351: ``charge_point.get``."""
    world = World().start()
    stored = [value for (table, _), value in world.rows.items() if table == "outbox"]
    assert world.core.state(world.now)["queue"] == {
        "messages": 1,
        "bytes": sum(map(len, stored)),
        "oldest": world.core.clock.text(world.now),
        "aside": 0,
    }


@pytest.mark.parametrize(("gate", "expected"), [("open", "first"), ("triggered", "second"), ("closed", None)])
def test_prompt_queue_lets_through_what_the_gate_allows(gate: Gate, expected: str | None) -> None:
    """CORE-BOOT-08, J-363."""
    queue = PromptQueue()
    queue.put(OwnCall("DataTransfer", {"vendorId": "first"}, lambda outcome, now: None))
    queue.put(OwnCall("DataTransfer", {"vendorId": "second"}, lambda outcome, now: None), triggered=True)
    call = queue.next_call(gate, World().now)
    assert (None if call is None else call.payload["vendorId"]) == expected
