"""What runs under callgrind: small programs that do one operation a given number of times, and their data.

Owns the operations that are counted. Must never import more into a program than what it counts, nor build there what
can come out of a pickle: that would cost more instructions than the operations.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

from benches import allocation, corpus, limit, stations

LOADS = "orjson.loads"
LIMIT = "limit all_full"
LIMIT_BATCH = 64
"""Operations of limit.rs in one round on up to 128 connectors; under callgrind a round is never more than one batch."""

_HEAD = """
import gc, pickle, sys
sys.path[:0] = pickle.loads(bytes.fromhex(sys.argv[3]))
from ocpphub import _native
with open(sys.argv[2], "rb") as file:
    data = pickle.load(file)
"""
_TAIL = """
work = OPERATIONS[sys.argv[1]]
gc.collect(); gc.disable()
for _ in range(int(sys.argv[4])): work()
"""
_FRAMES = """
import orjson
received, sent = data
decode, call, result, check = _native.decode, _native.encode_call, _native.encode_result, _native.check_json
def run_decode():
    for frame, pending in short: decode(frame, pending)
def run_decode_long():
    for frame, pending in long: decode(frame, pending)
def run_payload():
    for frame, pending in short: decode(frame, pending).payload()
def run_encode():
    for encode, unique_id, action, payload in sent_by: encode(unique_id, action, payload)
def run_check():
    for frame, pending in short: check(frame)
def run_loads():
    for frame, pending in short: orjson.loads(frame)
short = [row for row in received if len(row[0]) < 5000]
long = [row for row in received if len(row[0]) >= 5000]
sent_by = [(call if kind == "call" else result, *rest) for kind, *rest in sent]
OPERATIONS = {"decode": run_decode, "decode long": run_decode_long, "payload()": run_payload, "encode": run_encode,
        "check_json": run_check, "orjson.loads": run_loads}
"""
# One operation of `compute` and `publish` is two windows in turn, so that the kept one never answers.
_SCHEDULES = """
now, arguments, limits, transactions, rows, profile_24, profile_96 = data
profiles = _native.Profiles(*arguments, **limits)
for connector, start, number in transactions: profiles.transaction_started(connector, start, number)
profiles.restore(rows)
compute, composite, everything = profiles.compute, profiles.composite, profiles.composite_all
def run_compute():
    compute(now, 600, "A"); compute(now + 1, 600, "A")
def run_compute_day():
    compute(now, 86400, "A"); compute(now + 1, 86400, "A")
def run_composite():
    for connector in range(1, 11): composite(connector, now, 600, "A")
def run_composite_day():
    for connector in range(1, 11): composite(connector, now, 86400, "A")
def run_publish():
    everything(now, 600, "A"); everything(now + 1, 600, "A")
def run_explain():
    profiles.explain(1, now, 86400, "A")
def run_install_24():
    profiles.install(1, profile_24, now)
def run_install_96():
    profiles.install(1, profile_96, now)
def run_change():
    profiles.install(1, profile_24, now); composite(1, now, 600, "A"); composite(0, now, 600, "A")
def run_restore():
    profiles.restore(rows)
OPERATIONS = {"compute 600 s": run_compute, "compute 1 day": run_compute_day, "heavy 1 day": run_compute_day,
        "composite 600 s": run_composite, "composite 1 day": run_composite_day, "publish": run_publish,
        "explain": run_explain, "install 24": run_install_24, "install 96": run_install_96,
        "change": run_change, "restore": run_restore, "restore heavy": run_restore}
if sys.argv[1] == "change": compute(now, 600, "A")
"""
_SHARES = """
members, limits, lists = data
hub = _native.Allocation(members, len(limits))
for number, milliamperes in enumerate(limits): hub.set_limit(number, milliamperes, 690 * milliamperes)
def run_allocate(): hub.allocate(*lists)
OPERATIONS = {"allocate": run_allocate}
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its program, limit.rs without one; its data; n; its yardstick, itself for a yardstick."""

    program: str | None
    data: str
    n: int
    yardstick: str


FRAMES = _HEAD + _FRAMES + _TAIL
SCHEDULES = _HEAD + _SCHEDULES + _TAIL
SHARES = _HEAD + _SHARES + _TAIL
OPERATIONS = {
    **{
        name: Operation(FRAMES, "frames", n, LOADS)
        for name, n in {
            "decode": 30,
            "decode long": 3,
            "payload()": 30,
            "encode": 30,
            "check_json": 30,
            LOADS: 30,
        }.items()
    },
    **{
        name: Operation(SCHEDULES, data, n, LIMIT)
        for name, (data, n) in {
            "compute 600 s": ("std", 50),
            "compute 1 day": ("std", 5),
            "heavy 1 day": ("heavy", 5),
            "composite 600 s": ("std", 300),
            "composite 1 day": ("std", 30),
            "publish": ("std", 40),
            "explain": ("std", 30),
            "install 24": ("std", 500),
            "install 96": ("std", 200),
            "change": ("std", 300),
            "restore": ("std", 10),
            "restore heavy": ("heavy", 10),
        }.items()
    },
    "allocate": Operation(SHARES, "shares", 20, LIMIT),
    LIMIT: Operation(None, "std.jsonl", 1, LIMIT),
}
"""One operation of frames is one pass over the corpus; of schedules ``std`` on 128 connectors or ``heavy`` on 10; of
shares all of 1,000 connectors whose limits are short at levels of their own."""


def write(directory: Path) -> None:
    """The data of every operation, as files named after ``Operation.data``; and the limit program, compiled."""
    received = [(frame.data, frame.pending) for frame in corpus.received()]
    sent = [(frame.kind, frame.unique_id, frame.action, frame.payload) for frame in corpus.sent()]
    (directory / "frames").write_bytes(pickle.dumps((received, sent)))
    for variant, connectors in (("std", 128), ("heavy", 10)):
        path = _schedules(directory, variant, connectors)
        path.rename(directory / f"{variant}.jsonl")
    hub = allocation.hub("each limit is short at a level of its own", 1_000)
    (directory / "shares").write_bytes(pickle.dumps((hub.members, hub.amperes, hub.lists())))
    limit.compiled()


def _schedules(directory: Path, variant: str, connectors: int) -> Path:
    """Pickle a workload; the path of its text."""
    station = stations.load(directory, variant, connectors)
    other = {
        periods: stations.load(directory, "std", 1, keep_payloads=True, txdefault_periods=periods)
        for periods in (24, 96)
    }
    transactions = [
        (row["connector"], stations.second(row["tx"]["start"]), row["tx"]["id"])
        for row in stations.workload(variant, connectors)
        if row.get("tx")
    ]
    first, second = (other[periods].default_profiles()[0][1] for periods in (24, 96))
    rows = [row for _, row in station.rows]
    data = (station.now_s, *stations.ratings(connectors), transactions, rows, first, second)
    (directory / variant).write_bytes(pickle.dumps(data))
    return station.path
