"""CALLs of the CSMS: order, duplicates, refusals; and the corpus of bad frames against the whole core."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocpphub import _native
from ocpphub.core.effects import Disconnect
from ocpphub.core.inbound import Answer, Handler, Refusal
from ocpphub.core.instant import Instant
from ocpphub.core.key_table import FEATURE_PROFILES
from ocpphub.core.outbox import OwnCall
from tests.bad_frames import ROWS, bytes_of, double, slow
from tests.builders import SMART_CHARGING_OFF, Csms, World, assert_nothing_sent, assert_refuses, settings


def world_with(**handlers: Handler) -> World:
    return World(handlers=handlers).boot().forget()


def running(world: World) -> _native.Call:
    call = world.core._inbound._running
    assert call is not None
    return call


def test_inbound_call_while_own_call_is_open_is_answered_at_once() -> None:
    """CORE-RPC-06, J-234."""
    world = World().boot().forget()
    world.csms.silent.add("DataTransfer")
    world.command("data_transfer", "v", None, None)
    assert "configurationKey" in world.ask("GetConfiguration")


def test_inbound_answer_carries_the_id_of_its_call() -> None:
    """J-232, CORE-RPC-07: after JSON unescape, the empty id included."""
    world = World().boot().forget()
    for unique_id in ("", "ä€😀", "z" * 36):
        world.receive([2, unique_id, "ClearCache", {}])
    world.receive('[2,"\\u0061\\/","ClearCache",null]')
    assert [answer[1] for answer in world.answers] == ["", "ä€😀", "z" * 36, "a/"]


def test_inbound_hundred_pipelined_calls_get_hundred_answers_in_order() -> None:
    """J-241, D-09."""
    world = World().boot().forget()
    for index in range(100):
        world.receive([2, f"p{index}", "GetConfiguration", {"key": ["ResetRetries"]}])
    assert [answer[1] for answer in world.answers] == [f"p{index}" for index in range(100)]


def test_inbound_calls_behind_a_running_one_wait_in_order() -> None:
    """J-241: mixed with frames that are refused."""
    world = world_with(UnlockConnector=slow)
    world.receive([2, "slow", "UnlockConnector", {"connectorId": 1}])
    world.receive([2, "a", "ClearCache", {}])
    world.receive([2, "b", "Reset"])
    world.receive([2, "c", "ClearCache", {}])
    assert_nothing_sent(world)
    world.core.answer(running(world), {"status": "Unlocked"}, world.now)
    world.settle()
    assert [answer[:2] for answer in world.answers] == [[3, "slow"], [3, "a"], [4, "b"], [3, "c"]]


def test_inbound_more_than_64_waiting_calls_stop_the_reading() -> None:
    """J-241, T20."""
    world = world_with(UnlockConnector=slow)
    world.receive([2, "slow", "UnlockConnector", {"connectorId": 1}])
    accepting = []
    for index in range(65):
        world.receive([2, f"w{index}", "ClearCache", {}])
        accepting.append(world.core.accepting_frames)
    world.core.answer(running(world), {"status": "Unlocked"}, world.now)
    accepting.append(world.core.accepting_frames)
    assert accepting == [True] * 64 + [False, True]


def test_inbound_identical_repeat_of_a_running_call_is_ignored() -> None:
    """J-239, D-08."""
    world = world_with(UnlockConnector=slow)
    for _ in range(3):
        world.receive([2, "dup", "UnlockConnector", {"connectorId": 1}])
    world.core.answer(running(world), {"status": "Unlocked"}, world.now)
    world.settle()
    assert world.answers == [[3, "dup", {"status": "Unlocked"}]]


@pytest.mark.parametrize(
    "frame",
    [
        [2, "dup", "Reset", {"type": "Hard"}],
        [2, "dup", "UnlockConnector", {"connectorId": 2}],
        [2, "dup", "NoSuchAction", {}],
        [2, "dup", "Heartbeat", {}],
        [2, "dup", "Reset", {}],
    ],
)
def test_inbound_other_call_with_a_running_id_is_a_generic_error(frame: list[Any]) -> None:
    """J-239, J-259, D-08: also when it would be refused anyway."""
    world = world_with(UnlockConnector=slow)
    world.receive([2, "dup", "UnlockConnector", {"connectorId": 1}])
    world.receive(frame)
    assert_refuses(world, "GenericError", "dup")
    world.core.answer(running(world), {"status": "Unlocked"}, world.now)
    world.settle()
    assert world.answers[-1] == [3, "dup", {"status": "Unlocked"}]


def test_inbound_broken_frame_with_a_running_id_is_a_formation_violation() -> None:
    """J-239, J-253: JSON and arity come before the running id."""
    world = world_with(UnlockConnector=slow, ClearCache=slow)
    world.receive([2, "dup", "UnlockConnector", {"connectorId": 1}])
    world.receive([2, "dup", "UnlockConnector"])
    world.core.answer(running(world), {"status": "Unlocked"}, world.now)
    world.settle()
    assert [answer[:3] for answer in world.answers] == [
        [3, "dup", {"status": "Unlocked"}],
        [4, "dup", "FormationViolation"],
    ]


def test_inbound_id_used_again_after_its_answer_is_processed() -> None:
    """J-240."""
    world = World().boot().forget()
    for _ in range(2):
        world.receive([2, "again", "ClearCache", {}])
    assert world.answers == [[3, "again", {"status": "Accepted"}]] * 2


@pytest.mark.parametrize("payload", [{"connectorId": 1}, {}, {"connectorId": "x"}])
def test_inbound_action_of_a_profile_that_is_off_is_not_supported(payload: dict[str, Any]) -> None:
    """CORE-RPC-10, J-252, CORE-GEN-01, CORE-SC-32: whatever its payload."""
    world = World(settings(configuration=SMART_CHARGING_OFF)).boot().forget()
    world.receive([2, "a", "SetChargingProfile", payload])
    assert_refuses(world, "NotSupported", "a")


@pytest.mark.parametrize(
    "action",
    sorted(
        name
        for name, row in _native.actions().items()
        if row["sender"] == "csms"
        and row["profile"] not in FEATURE_PROFILES.split(",")
        and name != "ExtendedTriggerMessage"
        if name != "ExtendedTriggerMessage"  # which needs no extra
    ),
)
def test_inbound_every_action_of_other_profiles_is_not_supported(action: str) -> None:
    """CORE-RPC-10, J-252, CORE-GEN-01, CORE-GEN-02: certificates and transfers need extras that are not there."""
    world = World().boot().forget()
    world.receive([2, "a", action, {}])
    assert_refuses(world, "NotSupported", "a")


def test_inbound_unknown_action_is_not_implemented() -> None:
    """CORE-RPC-10, J-251."""
    world = World().boot().forget()
    world.receive([2, "a", "FooBar", {}])
    assert_refuses(world, "NotImplemented", "a")


@pytest.mark.parametrize(
    ("action", "payload", "answer"),
    [
        ("ClearCache", {}, {"status": "Accepted"}),
        ("DataTransfer", {"vendorId": "v", "data": "x" * 1_000_000}, {"status": "UnknownVendorId"}),
        ("RemoteStartTransaction", {"idTag": "a-B.c_*:;!"}, {"status": "Rejected"}),
        ("RemoteStopTransaction", {"transactionId": -1}, {"status": "Rejected"}),
        ("Reset", {"type": "Hard"}, {"status": "Accepted"}),
        ("UnlockConnector", {"connectorId": 1}, {"status": "UnlockFailed"}),
        ("TriggerMessage", {"requestedMessage": "MeterValues"}, {"status": "Rejected"}),
    ],
)
def test_inbound_core_action_without_controllers_answers_a_status(
    action: str, payload: dict[str, Any], answer: dict[str, str]
) -> None:
    """CORE-RPC-11, J-263, CORE-DT-01, CORE-DT-05."""
    assert World().boot().ask(action, payload) == answer


def test_inbound_handler_that_fails_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """J-257, J-278: and the next CALL is served."""

    def broken(call: _native.Call, now: Instant) -> Answer:
        raise ValueError("secret text")

    world = world_with(ClearCache=broken)
    world.receive([2, "a", "ClearCache", {}])
    assert_refuses(world, "InternalError", "a")
    assert "secret" not in str(world.answers)
    assert "ClearCache" in caplog.text
    assert world.ask("UnlockConnector", {"connectorId": 1})


def test_inbound_handler_with_an_illegal_answer_is_an_internal_error() -> None:
    """J-257, J-209: nothing that breaks its PDU leaves."""
    world = world_with(ClearCache=lambda call, now: Answer({"status": "Perhaps"}))
    world.receive([2, "a", "ClearCache", {}])
    assert_refuses(world, "InternalError", "a")


def test_inbound_handler_may_refuse_with_a_call_error() -> None:
    """J-258."""
    world = world_with(ClearCache=lambda call, now: Refusal("SecurityError", "no"))
    world.receive([2, "a", "ClearCache", {}])
    assert world.answers == [[4, "a", "SecurityError", "no", {}]]


def test_inbound_answer_after_the_link_was_lost_leads_to_nothing() -> None:
    """J-238: the id belongs to a connection that is gone."""
    world = world_with(UnlockConnector=slow)
    world.receive([2, "old", "UnlockConnector", {"connectorId": 1}])
    old = running(world)
    world.disconnect().connect()
    world.core.answer(old, {"status": "Unlocked"}, world.now)
    world.settle()
    assert world.answers == []
    world.receive([2, "old", "UnlockConnector", {"connectorId": 2}])  # another CALL with the same id
    world.core.answer(old, {"status": "UnlockFailed"}, world.now)
    assert world.settle().answers == []
    world.core.answer(running(world), {"status": "Unlocked"}, world.now)
    assert world.settle().answers == [[3, "old", {"status": "Unlocked"}]]
    assert world.ask("ClearCache")


def test_inbound_handler_asks_a_local_client_and_answers_later() -> None:
    """J-241, AMB-23: Ask out, answer in, then the CALLRESULT."""
    world = World().boot().forget()

    def unlock(call: _native.Call, now: Instant) -> None:
        def done(result: Any, error: Exception | None, at: Instant) -> None:
            world.core.answer(call, {"status": "UnlockFailed" if error else result["status"]}, at)

        world.core._parts.questions.ask("connector.unlock", {"connector_id": 1}, done, connector_id=1)

    world.core._inbound._handlers = {**world.core._inbound._handlers, "UnlockConnector": unlock}
    world.receive([2, "u", "UnlockConnector", {"connectorId": 1}])
    assert world.answers == []
    world.core.receive_answer(1, {"status": "Unlocked"}, None, world.now)
    world.core.receive_answer(1, {"status": "Unlocked"}, None, world.now)
    world.settle()
    assert world.answers == [[3, "u", {"status": "Unlocked"}]]


# the corpus


def in_state(row: dict[str, Any]) -> World:
    registration = {"pending": "Pending", "rejected": "Rejected"}.get(row.get("state", ""), "Accepted")
    csms = Csms(registration=registration, interval_s=1000)
    if row.get("state") == "unbooted":
        csms.silent.add("BootNotification")
    handlers, configuration = double(row), {}
    if row.get("fixture") == "SmartCharging profile off":
        configuration = SMART_CHARGING_OFF
    if row["name"].startswith("id-duplicate"):
        handlers["UnlockConnector"] = slow
    world = World(settings(configuration=configuration), csms=csms, handlers=handlers).boot().forget()
    if row["name"].startswith("id-duplicate"):
        world.receive('[2,"dup-1","UnlockConnector",{"connectorId":1}]')
    return world


def outcome(world: World) -> tuple[str, str | None]:
    """What became of the one frame: verdict and the id that was answered."""
    for effect in world.effects:
        if isinstance(effect, Disconnect):
            return "close", None
    if not world.answers:
        return "ignore", None
    assert len(world.answers) == 1
    answer = world.answers[0]
    return ("accept" if answer[0] == 3 else f"callerror:{answer[2]}"), answer[1]


@pytest.mark.parametrize("row", [row for row in ROWS if "pending" not in row], ids=lambda row: row["name"])
def test_inbound_corpus_row_is_treated_as_expected(row: dict[str, Any]) -> None:
    """CORE-RPC-08, CORE-RPC-09, CORE-RPC-13, J-262, J-271, J-278, J-325, J-328, T24, T25, D-04, D-06, D-28."""
    world = in_state(row).forget()
    world.receive(bytes_of(row), binary=row.get("opcode") == "binary")
    verdict, answered = outcome(world)
    allowed = {row["expect"], *(alt.split(":Failed")[0] for alt in row.get("alt", ()))}
    assert verdict in allowed
    if answered is not None:
        assert answered == row["reply_id"]
    if verdict == "accept" and "status" in row:
        assert world.answers[0][2]["status"] == row["status"]
    if verdict.startswith("callerror"):
        assert len(world.answers[0][3]) <= 255
        assert len(json.dumps(world.answers[0])) < 512


@pytest.mark.parametrize("row", [row for row in ROWS if "pending" in row], ids=lambda row: row["name"])
def test_inbound_corpus_confirmation_ends_or_spares_the_pending_call(row: dict[str, Any]) -> None:
    """J-261, J-273, J-275, J-276, J-278, J-307, J-213: the id of our call stands for ``p1``."""
    world = World().boot().forget()
    action = row["pending"]["action"]
    ended: list[str] = []
    payload = {name["name"]: _sample(name) for name in _native.actions()[action]["request"] if name["required"]}
    world.csms.silent.add(action)
    world.core._parts.prompt.put(OwnCall(action, payload, lambda outcome, now: ended.append(outcome.kind)))
    world.core.handle_timer(world.now)
    world.settle()
    world.receive(bytes_of(row).replace(b'"p1"', f'"{world.calls[0].unique_id}"'.encode()))
    expected = {"ok": ["ok"], "failed": ["error"], "unchanged": []}[row["pending_outcome"]]
    assert ended == expected
    assert world.answers == []


def _sample(item: dict[str, Any]) -> Any:
    samples = {"integer": 1, "timestamp": "2027-01-01T00:00:00Z"}
    if item["kind"] == "choice":
        return _native.enums()[item["enumeration"]][0]
    return samples.get(item["kind"], "x")


def test_inbound_corpus_on_one_connection_ends_with_a_good_exchange() -> None:
    """J-278, D-28: no frame of the corpus leaves a mark."""
    world = World(handlers=double({})).boot().forget()
    for row in ROWS:
        if row["expect"] != "close" and "state" not in row:
            world.receive(bytes_of(row), binary=row.get("opcode") == "binary")
    assert world.ask("GetConfiguration", {"key": ["NumberOfConnectors"]})["configurationKey"][0]["value"] == "3"
