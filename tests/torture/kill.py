"""Kill and start again, many times: hubs under load, side by side, until every round is played; then the judgement.

Owns the rounds. ``python -m tests.torture.kill N`` plays N of them and prints what came of it (``make torture``).

Source: reliability.md F03 (and F02 for what is in flight), issue 4 "Proof".
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from ocpphub.rpc.client import AsyncClient
from tests.torture.checker import Checker
from tests.torture.controllers import FREE, INTERVAL_S, Controllers
from tests.torture.hub_process import HubProcess, Site
from tests.torture.ledger import Ledger
from tests.torture.recorder import Recorder, Transcript

CONNECTORS: Final = 200
IN_START: Final = 0.2
"""The share of kills that come while the process starts."""
START_S: Final = 0.7
LIFE_S: Final = (0.005, 0.8)
FAULTS: Final = 0.02
"""Share of answers instead of which the link breaks, and of those that are a CALLERROR, at hubs with an odd seed."""
BATCH: Final = 200
"""Rounds after which ``main`` begins with new stores: the archive keeps 100,000 sessions."""
DRAIN_S: Final = 90.0
_MORE: Final = f"""
[charge_point.custom_keys.Counter]
value = "0"
type = "integer"
[[charge_point.connector]]
ids = "{",".join(str(number) for number in range(1, CONNECTORS + 1, 2))}"
free_vend_id_tag = "{FREE}"
"""


@dataclass(slots=True)
class Outcome:
    """What one hub has gone through, and what is wrong with it."""

    seed: int
    kills: int = 0
    starts_s: list[float] = field(default_factory=list)
    own_starts_s: list[float] = field(default_factory=list)
    lived_s: float = 0.0
    events: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    transcript: Transcript = field(default_factory=Transcript)
    records: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def torture(directory: Path, rounds: int, seed: int, *, early_answers: bool = False) -> Outcome:
    """One hub, killed ``rounds`` times; at the end everything is unplugged, delivered and judged."""
    random = Random(seed)  # noqa: S311  # repeatable on purpose
    outcome = Outcome(seed)
    async with Recorder(seed, faults=FAULTS * (seed % 2)) as recorder:
        hub = HubProcess(directory, site_of(recorder.url, early_answers=early_answers))
        controllers = Controllers(hub.socket, CONNECTORS, seed)
        await accept(hub)
        for _ in range(rounds):
            outcome.kills += 1
            if random.random() < IN_START:
                await hub.kill()
                hub.spawn()
                await asyncio.sleep(random.random() * START_S)
                await hub.kill()
                await hub.start()
                continue
            await one_life(hub, controllers, random.uniform(*LIFE_S), outcome)
            await hub.start()
        before = controllers.ledger.events
        await finish(hub, controllers, outcome)
        outcome.events = before
        outcome.starts_s, outcome.own_starts_s = hub.starts_s, hub.own_starts_s
    outcome.ledger, outcome.transcript = controllers.ledger, recorder.transcript
    outcome.problems += Checker(outcome.ledger, outcome.transcript, outcome.records).problems()
    return outcome


def site_of(url: str, *, early_answers: bool = False) -> Site:
    """The hub of the torture: every other connector has free vending, samples are due each second."""
    return Site(
        url,
        CONNECTORS,
        hub={"publish_interval_s": 0},
        configuration={
            "MeterValueSampleInterval": INTERVAL_S,
            "TransactionMessageAttempts": 1_000,
            "TransactionMessageRetryInterval": 0,
            "AllowOfflineTxForUnknownId": True,
            "StopTxnSampledData": "Energy.Active.Import.Register",
        },
        more=_MORE,
        early_answers=early_answers,
    )


async def accept(hub: HubProcess) -> None:
    """The first life: sessions need a charge point that was accepted once."""
    await hub.start()
    await hub.until(lambda status: status["registration"] == "Accepted", 20)


async def one_life(hub: HubProcess, controllers: Controllers, life_s: float, outcome: Outcome) -> None:
    """One life under load, and its end."""
    ready = asyncio.Event()
    living = asyncio.create_task(controllers.live(ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({living, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    waiting.cancel()
    began_s = time.monotonic()
    await asyncio.wait({living}, timeout=life_s)
    outcome.lived_s += time.monotonic() - began_s
    if not hub.is_running:
        outcome.problems.append(f"the hub has ended by itself:\n{hub.log_tail()}")
    await hub.kill()
    await living


async def finish(hub: HubProcess, controllers: Controllers, outcome: Outcome) -> None:
    """Everybody leaves, the queue drains, the hub ends as it should."""
    await controllers.settle()
    status = await hub.until(lambda status: status["queue"]["messages"] == 0, DRAIN_S)
    if status["queue"]["messages"]:
        outcome.problems.append(f"still waiting: {status['queue']}")
    outcome.records = await listed(hub)
    if (code := await hub.stop()) != 0:
        outcome.problems.append(f"SIGTERM ended in {code}:\n{hub.log_tail()}")


async def listed(hub: HubProcess) -> list[dict[str, Any]]:
    """Every session of ``transaction.list``."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    async with AsyncClient(hub.socket) as client:
        while True:
            page = await client.call("transaction.list", **cursor)
            found += page["transactions"]
            if "cursor" not in page:
                return found
            cursor = {"cursor": page["cursor"]}


async def side_by_side(directory: Path, rounds: int, seed: int, hubs: int) -> list[Outcome]:
    """Several hubs at once, the rounds shared out."""
    shares = [rounds // hubs + (number < rounds % hubs) for number in range(hubs)]
    places = [directory / str(number) for number in range(hubs)]
    for place in places:
        place.mkdir()
    jobs = (torture(place, share, seed + n) for n, (place, share) in enumerate(zip(places, shares, strict=True)))
    return list(await asyncio.gather(*jobs))


def report(outcomes: list[Outcome]) -> str:
    """What it came to, in a few lines."""
    starts_s = sorted(start_s for outcome in outcomes for start_s in outcome.starts_s)
    own_s = [start_s for outcome in outcomes for start_s in outcome.own_starts_s]
    ledgers = [outcome.ledger for outcome in outcomes]
    return (
        f"{sum(outcome.kills for outcome in outcomes)} kills, "
        f"{events_per_s(outcomes):.0f} durable events acknowledged a second: "
        f"{sum(len(ledger.started) for ledger in ledgers)} starts, {sum(len(ledger.stopped) for ledger in ledgers)} "
        f"stops, {sum(len(ledger.due) for ledger in ledgers)} due samples; "
        f"{sum(len(outcome.transcript.calls) for outcome in outcomes)} CALLs; restart to the first answer: "
        f"median {statistics.median(starts_s):.2f} s, p99 {p99(starts_s):.2f} s, without waiting for a processor "
        f"p99 {p99(own_s):.2f} s"
    )


def events_per_s(outcomes: list[Outcome]) -> float:
    """Durable effects acknowledged in a second of one hub's life."""
    return sum(outcome.events for outcome in outcomes) / sum(outcome.lived_s for outcome in outcomes)


def p99(values: list[float]) -> float:
    """The value that one in a hundred is above."""
    return sorted(values)[max(0, -(-99 * len(values) // 100) - 1)]


def main(arguments: list[str] | None = None) -> int:
    """Play in batches, each with hubs and a seed of its own; 1 when anything is wrong, and what was left is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--hubs", type=int, default=2)
    options = parser.parse_args(arguments)
    bad = 0
    for begin in range(0, options.rounds, BATCH):
        rounds = min(BATCH, options.rounds - begin)
        seed = options.seed + begin
        directory = Path(tempfile.mkdtemp(prefix="torture-"))
        outcomes = asyncio.run(side_by_side(directory, rounds, seed, min(options.hubs, rounds)))
        print(f"seed {seed}: {report(outcomes)}", flush=True)
        problems = [f"seed {outcome.seed}: {problem}" for outcome in outcomes for problem in outcome.problems]
        if problems:
            bad += 1
            print("\n".join([*problems, f"stores, logs and transcripts: {_keep(directory, outcomes)}"]), flush=True)
        else:
            shutil.rmtree(directory)
    print(f"{bad} batches with problems" if bad else "nothing acknowledged is lost, nothing was said in other words")
    return 1 if bad else 0


def _keep(directory: Path, outcomes: list[Outcome]) -> Path:
    """Write down what was heard and acknowledged, beside the stores."""
    for number, outcome in enumerate(outcomes):
        place = directory / str(number)
        calls = (f"{call.connection} {call.given} {call.text.decode()}" for call in outcome.transcript.calls)
        (place / "transcript").write_text("\n".join(calls))
        (place / "ledger.json").write_bytes(orjson.dumps(outcome.ledger))
    return directory


if __name__ == "__main__":
    sys.exit(main())
