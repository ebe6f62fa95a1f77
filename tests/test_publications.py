"""publications.py: numbering, latest values, the ring, listeners."""

from __future__ import annotations

import orjson
import pytest

from ocpphub import publications as module
from ocpphub.core.instant import Instant
from ocpphub.publications import Event, Publications, Schedules, rfc3339
from ocpphub.rpc.connectors import ConnectorSet


class Clock:
    now_s = 10.0

    def __call__(self) -> Instant:
        return Instant(self.now_s, 1_800_000_000_000 + int(self.now_s * 1000))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def publications(clock: Clock) -> Publications:
    return Publications("CP1", clock, stream="s")


def numbers(events: list[Event] | None) -> list[int]:
    assert events is not None
    return [event.seq for event in events]


def test_events_of_all_topics_are_counted_together(publications: Publications) -> None:
    publications.publish("is_connected", b"true")
    publications.publish("security_event", b"{}")

    assert publications.seq == 2


def test_stream_of_each_start_is_another(clock: Clock) -> None:
    assert Publications("CP1", clock).stream != Publications("CP1", clock).stream


def test_topic_that_nobody_declared_is_a_bug(publications: Publications) -> None:
    with pytest.raises(KeyError):
        publications.publish("no_such_topic", b"1")


def test_event_text_is_json_with_its_value(publications: Publications) -> None:
    publications.publish("connector.status", b'{"a":1}', 7)
    event = publications.latest("connector.status", 7)
    assert event is not None

    assert orjson.loads(b"{" + event.text() + b"}") == {
        "stream": "s",
        "charge_point": "CP1",
        "seq": 1,
        "topic": "connector.status",
        "timestamp": "2027-01-15T08:00:10.000Z",
        "value": {"a": 1},
    }


def test_latest_of_a_connector_is_its_own(publications: Publications) -> None:
    publications.publish("connector.status", b"1", 1)
    publications.publish("connector.status", b"2", 2)
    publications.publish("connector.status", b"3", 1)

    assert [event.value for i in (1, 2) if (event := publications.latest("connector.status", i))] == [b"3", b"2"]
    assert publications.latest("connector.status", 3) is None


def test_resume_gives_every_event_of_the_topics_in_order(publications: Publications) -> None:
    """rpc.md ``since``: of states too; only a slow reader gets the latest alone."""
    publications.publish("is_connected", b"false")
    publications.publish("security_event", b"{}")
    publications.publish("is_connected", b"true")
    publications.publish("configuration_key", b"{}")

    topics = ["is_connected", "security_event"]
    assert numbers(publications.since("s", 0, topics)) == [1, 2, 3]
    assert numbers(publications.since("s", 1, topics)) == [2, 3]
    assert numbers(publications.since("s", 4, topics)) == []


def test_resume_of_another_stream_or_of_the_future_is_a_gap(publications: Publications) -> None:
    publications.publish("is_connected", b"true")

    assert publications.since("t", 1, ["is_connected"]) is None
    assert publications.since("s", 2, ["is_connected"]) is None


def test_resume_behind_events_older_than_the_ring_is_a_gap(publications: Publications, clock: Clock) -> None:
    publications.publish("security_event", b"1")
    clock.now_s += 60
    publications.publish("security_event", b"2")
    assert numbers(publications.since("s", 0, ["security_event"])) == [1, 2]

    clock.now_s += 1

    assert publications.since("s", 0, ["security_event"]) is None
    assert numbers(publications.since("s", 1, ["security_event"])) == [2]


@pytest.mark.parametrize(("name", "limit"), [("RING_EVENTS", 5), ("RING_BYTES", 50)])
def test_resume_behind_a_full_ring_is_a_gap(
    publications: Publications, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(module, name, limit)
    for _ in range(6):
        publications.publish("security_event", b"1234567890")

    assert publications.since("s", 0, ["security_event"]) is None
    assert numbers(publications.since("s", 1, ["security_event"])) == [2, 3, 4, 5, 6]


def test_resume_behind_a_lost_state_is_a_gap_for_its_topic_alone(publications: Publications, clock: Clock) -> None:
    """rpc.md ``since``: what a client has not asked for cannot be missed by it."""
    for _ in range(3):
        publications.publish("is_connected", b"true")
        publications.publish("security_event", b"{}")
        clock.now_s += 100
    publications.publish("security_event", b"{}")

    assert publications.since("s", 3, ["is_connected"]) is None
    assert numbers(publications.since("s", 5, ["is_connected"])) == []
    assert publications.since("s", 5, ["security_event"]) is None
    assert numbers(publications.since("s", 6, ["is_connected", "security_event"])) == [7]


def test_flood_of_one_topic_costs_no_event_of_another(
    publications: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rpc.md ``since``: each topic has a ring of its own."""
    monkeypatch.setattr(module, "RING_EVENTS", 5)
    publications.publish("security_event", b"{}")
    for _ in range(20):
        publications.publish("ocpp.message", b"{}")

    assert numbers(publications.since("s", 0, ["security_event"])) == [1]
    assert publications.since("s", 15, ["ocpp.message"]) is None
    assert numbers(publications.since("s", 16, ["ocpp.message"])) == [17, 18, 19, 20, 21]


@pytest.mark.parametrize("connectors", ["2", "1-2,100-300"])
def test_listener_hears_of_its_connectors_until_it_stops(publications: Publications, connectors: str) -> None:
    heard: list[int | None] = []
    chosen = ConnectorSet.parse(connectors)
    stop = publications.listen("connector.status", lambda event: heard.append(event.connector_id), chosen)
    for connector_id in (2, 3):
        publications.publish("connector.status", b"{}", connector_id)

    stop()
    stop()
    publications.publish("connector.status", b"{}", 2)

    assert heard == [2]


def test_listener_with_few_connectors_is_not_visited_for_others(publications: Publications) -> None:
    visits: list[int] = []

    class Watched(ConnectorSet):
        def __contains__(self, connector_id: int) -> bool:
            visits.append(connector_id)
            return super().__contains__(connector_id)

    publications.listen("connector.status", lambda event: None, Watched([(1, 3)]))
    publications.publish("connector.status", b"{}", 9)

    assert visits == []


def test_listener_that_raises_does_not_keep_the_event_from_others(
    publications: Publications, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise ValueError("bug")

    publications.listen("is_connected", broken)
    publications.listen("is_connected", heard.append)
    publications.publish("is_connected", b"true")

    assert len(heard) == 1
    assert "is_connected" in caplog.text


def test_interest_is_told_with_the_first_and_the_last_listener(publications: Publications) -> None:
    told: list[tuple[str, bool]] = []
    publications.on_interest = lambda topic, wanted: told.append((topic, wanted))

    stops = [publications.listen("ocpp.message", lambda event: None) for _ in range(2)]
    for stop in stops:
        stop()

    assert told == [("ocpp.message", True), ("ocpp.message", False)]


def test_schedules_are_taken_apart_once_for_all_filters(
    publications: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    publications.publish("charging_schedules", b'{"0":{},"1":{},"2":{}}')
    event = publications.latest("charging_schedules")
    assert event is not None
    parses: list[bytes] = []
    loads = orjson.loads

    def watched(text: bytes) -> object:
        parses.append(text)
        return loads(text)

    monkeypatch.setattr(orjson, "loads", watched)

    texts = [event.narrowed(ConnectorSet.parse(text)) for text in ("1-2", "0", "2-99", "7")]

    assert texts == [b'{"1":{},"2":{}}', b'{"0":{}}', b'{"2":{}}', b"{}"]
    assert len(parses) == 1


def engine_text(connectors: int) -> bytes:
    """``charging_schedules`` as the engine writes it, every schedule a little different."""
    row = (
        '"%d":{"chargingRateUnit":"A","duration":60,"startSchedule":"2027-01-15T08:00:00Z","chargingSchedulePeriod":%s}'
    )
    rows = []
    for connector_id in range(connectors + 1):
        periods = [{"startPeriod": at, "limit": connector_id + 0.5} for at in range(1 + connector_id % 7)]
        rows.append(row % (connector_id, orjson.dumps(periods).decode()))
    return ("{" + ",".join(rows) + "}").encode()


@pytest.mark.parametrize("connectors", [1, 2, 9, 10, 11, 99, 250])
def test_schedules_of_the_engine_are_found_without_parsing(connectors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """T41: every connector, one by one and together, and none that does not exist."""
    text = engine_text(connectors)
    expected = orjson.loads(text)
    filters = [ConnectorSet([(i, i)]) for i in range(connectors + 1)]
    filters += [
        ConnectorSet([(0, connectors)]),
        ConnectorSet([(1, connectors + 50)]),
        ConnectorSet([(connectors + 1, 10**5)]),
    ]
    monkeypatch.setattr(orjson, "loads", None)
    found = [Schedules(text).of(each) for each in filters]
    together = Schedules(text)
    again = [together.of(each) for each in filters]
    monkeypatch.undo()

    for each, one, other in zip(filters, found, again, strict=True):
        assert one == other
        assert orjson.loads(one) == {key: value for key, value in expected.items() if int(key) in each}


def test_schedules_asked_for_often_are_cut_up_once() -> None:
    """T08: ten thousand controllers with a filter of their own."""
    schedules = Schedules(engine_text(1_000))
    texts = [schedules.of(ConnectorSet([(i, i)])) for i in range(1, 1_001)]
    assert len(schedules._cut) == 1_001
    assert [next(iter(orjson.loads(text))) for text in texts] == [str(i) for i in range(1, 1_001)]


def test_resume_of_a_topic_on_demand_begins_with_its_first_listener(publications: Publications) -> None:
    """rpc.md ``since``: what changed while nobody listened was not published, so it cannot be replayed."""
    publications.publish("is_connected", b"true")
    assert numbers(publications.since("s", 1, ["connector.schedule"])) == []
    stop = publications.listen("connector.schedule", lambda event: None)
    begun = publications.seq
    publications.publish("connector.schedule", b"{}", 1)
    publications.publish("connector.schedule", b"{}", 2)
    assert publications.since("s", 1, ["connector.schedule"]) is None
    assert numbers(publications.since("s", begun, ["connector.schedule"])) == [begun + 1, begun + 2]
    stop()
    last = publications.seq
    publications.listen("connector.schedule", lambda event: None)
    assert publications.since("s", last, ["connector.schedule"]) is None
    assert numbers(publications.since("s", last, ["is_connected"])) == []


def test_time_is_written_with_milliseconds() -> None:
    assert rfc3339(1_800_000_000_005) == "2027-01-15T08:00:00.005Z"
