"""P1: what is measured on frames, with the assertion that comes before the clock.

Owns the choice of statements per frame. Must never time a statement whose answer it has not checked.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from benches import adverse, corpus, goals, peers
from benches.corpus import Frame
from benches.stopwatch import Figure, Statement, measure
from ocpphub import _native

PEERS: dict[str, Callable[[Frame], Statement]] = {
    "decode": peers.decode,
    "decode + payload": peers.decode_payload,
    "msgspec one step": peers.msgspec_one_step,
    "msgspec two steps": peers.msgspec_two_steps,
    "orjson": peers.orjson_loads,
    "simdjson": peers.simdjson_parse,
    "pydantic": peers.pydantic_v2,
    "orjson + jsonschema-rs": peers.orjson_jsonschema_rs,
    "ocpp": peers.ocpp_package,
}


@dataclass(slots=True)
class Results:
    """Everything P1 states: figures by frame and peer, refusals, stops, and the goal lines."""

    received: dict[str, dict[str, float]] = field(default_factory=dict)
    sent: dict[str, dict[str, float]] = field(default_factory=dict)
    encoded: dict[str, dict[str, float]] = field(default_factory=dict)
    meter: dict[str, float] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    vectors: dict[str, float] = field(default_factory=dict)
    stops: dict[str, dict[str, float]] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    goals: list[goals.Goal] = field(default_factory=list)


def run(rounds: int) -> Results:
    """Measure every part of P1 in one run."""
    results = Results()
    for frame in corpus.received():
        chosen = {name: peer(frame) for name, peer in PEERS.items()}
        check_decoded(frame, chosen)
        results.received[frame.name] = _row(frame, measure(chosen, rounds), results)
    _sent(results, rounds)
    results.meter = _plain(measure(meter_statements(), rounds), results, "meter")
    _refusals(results, rounds)
    _stops(results, max(5, rounds // 3))
    results.goals = [
        *goals.decode_goals(results.received),
        *goals.refusal_goals(results.refused, results.vectors),
        goals.stop_goal(
            {k: v["decode"] for k, v in results.stops.items()},
            {k: goals.msgspec_ns(v) for k, v in results.stops.items()},
        ),
        *goals.encode_goals(results.encoded, results.meter),
    ]
    return results


def check_decoded(frame: Frame, statements: Mapping[str, Statement]) -> None:
    """Every statement about a frame gives the right answer, or the bench stops here."""
    answer = statements["decode"].run()
    expected = _native.Call if frame.kind == "call" else _native.CallResult
    assert type(answer) is expected, f"{frame.name}: {answer!r}"
    assert (answer.unique_id, answer.action) == (frame.unique_id, frame.action), frame.name
    assert statements["decode + payload"].run() == frame.payload, frame.name
    for name, statement in statements.items():
        value = statement.run()
        assert value is not False, f"{name} refused {frame.name}"


def meter_statements() -> dict[str, Statement]:
    """Ten samples from native numbers, against dumping a dict that somebody else has built."""
    frame = next(f for f in corpus.sent() if f.name == "MeterValues.req[10]")
    value = frame.payload["meterValue"][0]
    samples = [{k: v for k, v in row.items() if k != "value"} for row in value["sampledValue"]]
    numbers = [float(row["value"]) for row in value["sampledValue"]]
    names = {
        "encode": _native.MeterLayout(samples).encode,
        "frame": frame.unique_id,
        "dumps": orjson.dumps,
        "readings": [(1_795_247_220_120, numbers)],
        "ready": orjson.loads(frame.data),
    }
    ours = Statement("encode(frame, 7, 1827364, readings)", names)
    text = ours.run()
    assert type(_native.decode_request(text)) is _native.Call
    written = orjson.loads(text)[3]["meterValue"][0]
    assert [float(row.pop("value")) for row in written["sampledValue"]] == numbers
    assert written["sampledValue"] == samples
    return {"MeterLayout.encode": ours, "orjson.dumps": Statement("dumps(ready)", names)}


def encode_statements(frame: Frame) -> dict[str, Statement]:
    """A payload to a validated frame, against orjson.dumps of the envelope."""
    names = {
        "encode": _native.encode_call if frame.kind == "call" else _native.encode_result,
        "dumps": orjson.dumps,
        "unique_id": frame.unique_id,
        "action": frame.action,
        "payload": frame.payload,
    }
    plain = "dumps([2, unique_id, action, payload])" if frame.kind == "call" else "dumps([3, unique_id, payload])"
    statements = {
        "encode": Statement("encode(unique_id, action, payload)", names),
        "orjson.dumps": Statement(plain, names),
    }
    for statement in statements.values():
        assert statement.run() == frame.data, frame.name
    return statements


def _sent(results: Results, rounds: int) -> None:
    """The direction that is shown, and encoding."""
    for frame in corpus.sent():
        results.encoded[frame.name] = _row(frame, measure(encode_statements(frame), rounds), results)
        chosen = {name: PEERS[name](frame) for name in ("msgspec one step", "msgspec two steps", "orjson")}
        chosen |= {
            "decode": peers.decode(frame, outbound=True),
            "decode + payload": peers.decode_payload(frame, outbound=True),
        }
        check_decoded(frame, chosen)
        results.sent[frame.name] = _row(frame, measure(chosen, rounds), results)


def refusal(data: bytes, pending: dict[str, str] | None) -> Statement:
    """Decoding of a frame that must be refused."""
    statement = Statement("decode(frame, pending)", {"decode": _native.decode, "frame": data, "pending": pending})
    assert isinstance(statement.run(), _native.Violation), data[:80]
    return statement


def _refusals(results: Results, rounds: int) -> None:
    for good in corpus.received():
        broken = {name: refusal(data, good.pending) for name, data in adverse.siblings(good).items()}
        figures = measure({"good": peers.decode(good)} | broken, rounds)
        for name in broken:
            results.refused[f"{good.name} {name}"] = figures[name].ns / figures["good"].ns
    for name, data, pending in adverse.vector_rows():
        answer = _native.decode(data, pending)
        if isinstance(answer, _native.Violation):
            near = {frame.name: peers.decode(frame) for frame in adverse.good_near(len(data))}
            figures = measure({"bad": refusal(data, pending)} | near, max(3, rounds // 2))
            results.vectors[name] = figures["bad"].ns / statistics.median(figures[good_name].ns for good_name in near)


def _stops(results: Results, rounds: int) -> None:
    for name, frame in adverse.longest().items():
        assert len(frame.data) <= adverse.MESSAGE_LIMIT, name
        chosen = {peer: PEERS[peer](frame) for peer in ("decode", "msgspec one step", "msgspec two steps", "orjson")}
        assert isinstance(chosen["decode"].run(), _native.Call), name
        results.stops[name] = _row(frame, measure(chosen, rounds), results)


def _row(frame: Frame, figures: Mapping[str, Figure], results: Results) -> dict[str, float]:
    return {"bytes": float(len(frame.data))} | _plain(figures, results, frame.name)


def _plain(figures: Mapping[str, Figure], results: Results, name: str) -> dict[str, float]:
    results.spread.update({f"{name} {peer}": figure.spread for peer, figure in figures.items()})
    return {peer: figure.ns for peer, figure in figures.items()}
