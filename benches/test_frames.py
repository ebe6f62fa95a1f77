"""pytest-benchmark benches of frames, named by work: assert the answer, then time it.

Owns what ``make bench-quick`` runs in CI. Must never gate on time: the ratios are judged by benches.quick.
Source: OCPP-J 1.6 section 4.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from benches import adverse, corpus, frames, peers
from benches.corpus import Frame
from benches.stopwatch import Statement
from ocpphub import _native

RECEIVED = {frame.name: frame for frame in corpus.received()}
SENT = {frame.name: frame for frame in corpus.sent()}
CHOSEN = (
    "Heartbeat.conf",
    "BootNotification.conf",
    "StartTransaction.conf",
    "Reset.req",
    "RemoteStartTransaction.req[profile]",
    "SetChargingProfile.req[24]",
    "SetChargingProfile.req[1000]",
    "SendLocalList.req[1000]",
    "CertificateSigned.req",
)


def timed(benchmark: Any, statement: Statement) -> None:
    """Time a statement whose answer has been checked."""
    names = dict(statement.names)
    exec(f"def work():\n    {statement.source}", names)  # noqa: S102  our own source
    benchmark(names["work"])


@pytest.mark.parametrize("name", CHOSEN)
def bench_decode_received(benchmark: Any, name: str) -> None:
    """Decode and full validation, fields on demand."""
    frame = RECEIVED[name]
    assert peers.decode(frame).run().action == frame.action
    timed(benchmark, peers.decode(frame))


@pytest.mark.parametrize("name", CHOSEN)
def bench_decode_received_and_materialise(benchmark: Any, name: str) -> None:
    """Decode, then every field as a Python object."""
    frame = RECEIVED[name]
    assert peers.decode_payload(frame).run() == frame.payload
    timed(benchmark, peers.decode_payload(frame))


@pytest.mark.parametrize("name", CHOSEN)
def bench_decode_received_by_msgspec(benchmark: Any, name: str) -> None:
    """The reference: one typed decode of the whole array."""
    statement = peers.msgspec_one_step(RECEIVED[name])
    assert statement.run().unique_id == RECEIVED[name].unique_id
    timed(benchmark, statement)


@pytest.mark.parametrize("name", CHOSEN)
def bench_parse_received_by_orjson(benchmark: Any, name: str) -> None:
    """Parsing alone."""
    statement = peers.orjson_loads(RECEIVED[name])
    assert statement.run()[-1] == RECEIVED[name].payload
    timed(benchmark, statement)


def bench_decode_meter_values_10_samples(benchmark: Any) -> None:
    """The other direction: what a CSMS does with ten samples."""
    frame = SENT["MeterValues.req[10]"]
    statement = peers.decode_payload(frame, outbound=True)
    assert statement.run() == frame.payload
    timed(benchmark, statement)


@pytest.mark.parametrize("name", ["cut", "utf8", "duplicate"])
def bench_refuse_charging_profile_24_periods(benchmark: Any, name: str) -> None:
    """A fault at the very end of a frame of 1.4 kB."""
    good = RECEIVED["SetChargingProfile.req[24]"]
    timed(benchmark, frames.refusal(adverse.siblings(good)[name], good.pending))


def bench_refuse_depth_bomb(benchmark: Any) -> None:
    """200,000 opening brackets cost no more than a glance."""
    timed(benchmark, frames.refusal(b"[" * 200_000, None))


@pytest.mark.parametrize(
    "name", ["Heartbeat.req", "MeterValues.req[10]", "StopTransaction.req", "GetConfiguration.conf"]
)
def bench_encode_sent(benchmark: Any, name: str) -> None:
    """A payload to a validated frame."""
    timed(benchmark, frames.encode_statements(SENT[name])["encode"])


@pytest.mark.parametrize("name", ["MeterLayout.encode", "orjson.dumps"])
def bench_encode_meter_values_10_samples(benchmark: Any, name: str) -> None:
    """Ten native numbers to a frame, and a ready dict through orjson."""
    timed(benchmark, frames.meter_statements()[name])


def bench_encode_call_error(benchmark: Any) -> None:
    """The answer to a refused frame."""
    statement = Statement(
        "encode('b0184', 'PropertyConstraintViolation', 'type: value not allowed')", {"encode": _native.encode_error}
    )
    assert orjson.loads(statement.run()) == [4, "b0184", "PropertyConstraintViolation", "type: value not allowed", {}]
    timed(benchmark, statement)


@pytest.mark.parametrize("size", [200, 20_000])
def bench_check_json(benchmark: Any, size: int) -> None:
    """Strict syntax of a line of the socket."""
    line = adverse.good_of_size(size).data
    assert _native.check_json(line) is None
    timed(benchmark, Statement("check(line)", {"check": _native.check_json, "line": line}))


def test_every_frame_of_the_corpus_is_distinct() -> None:
    """The corpus names 39 actions in each direction and repeats no frame."""
    both: list[Frame] = [*RECEIVED.values(), *SENT.values()]
    assert len({frame.action for frame in RECEIVED.values()}) == len({frame.action for frame in SENT.values()}) == 39
    assert len({frame.data for frame in both}) == len(both)
