"""``kill -9`` at random moments of a real process under load: what was acknowledged is there, and said once.

The rounds are those of :mod:`tests.torture.kill`; ``make torture N=10000`` plays more of them. ``TORTURE_SEED`` and
``TORTURE_ROUNDS`` change what is played here. The times of kills are drawn from the seed; what they hit is up to the
machine, so a seed repeats the scenario and not the byte.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import orjson
import pytest

from tests.torture.checker import Checker
from tests.torture.kill import Outcome, events_per_s, p99, report, side_by_side, torture
from tests.torture.ledger import Ledger
from tests.torture.recorder import Sent, Transcript

SEED: Final = int(os.environ.get("TORTURE_SEED", "4"))
ROUNDS: Final = int(os.environ.get("TORTURE_ROUNDS", "100"))
HUBS: Final = 2
EVENTS_PER_S: Final = 20
RESTART_S: Final = 1.0

pytestmark = [pytest.mark.alone, pytest.mark.timeout(60 + 3 * ROUNDS)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """All rounds, played once."""
    played = asyncio.run(side_by_side(tmp_path_factory.mktemp("torture"), ROUNDS, SEED, HUBS))
    print(f"seed {SEED}: {report(played)}")
    return played


def test_killed_hub_loses_nothing_that_it_acknowledged(outcomes: list[Outcome]) -> None:
    """F03: D1 to D6, E1, E3 over all kills; CORE-TXQ-01, CORE-TXQ-02, CORE-TXQ-03, CORE-TXQ-07, CORE-TX-03, J-231."""
    problems = [f"seed {outcome.seed}: {problem}" for outcome in outcomes for problem in outcome.problems]
    assert problems == [], "\n".join(problems)


def test_killed_hub_was_under_load(outcomes: list[Outcome]) -> None:
    """The rounds were worth something: as many kills as wanted, and enough acknowledged between them."""
    assert sum(outcome.kills for outcome in outcomes) == ROUNDS
    assert events_per_s(outcomes) >= EVENTS_PER_S
    assert sum(len(outcome.ledger.due) for outcome in outcomes) >= ROUNDS
    assert min(len(outcome.ledger.stopped) for outcome in outcomes) >= ROUNDS


def test_killed_hub_answers_again_within_a_second(outcomes: list[Outcome]) -> None:
    """From the start of the process to the first answer, without what other processes of the machine took."""
    assert p99([start_s for outcome in outcomes for start_s in outcome.own_starts_s]) <= RESTART_S


def test_hub_whose_store_answers_too_early_is_found_out(tmp_path: Path) -> None:
    """The control: a store that tells a commit before it makes it loses the last one, and the checker sees that."""
    outcome = asyncio.run(torture(tmp_path, 8, SEED, early_answers=True))
    assert [problem for problem in outcome.problems if problem.endswith("is lost")], outcome.problems


# What the checker has to find: the good run, with one thing changed.

Change = Callable[[Ledger, Transcript, list[dict[str, object]]], None]


def last(transcript: Transcript, action: str) -> Sent:
    """The last CALL of an action, which nothing follows that would hide what is wrong with it."""
    return list(transcript.of(action))[-1]


def changed(call: Sent, **members: object) -> Sent:
    """The same CALL with other members of its payload, under another message id."""
    frame = orjson.loads(call.text)
    frame[1] += "-x"
    frame[3].update(members)
    return replace(call, unique_id=frame[1], text=orjson.dumps(frame))


def lose_start(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    lost = last(transcript, "StartTransaction").payload
    transcript.calls[:] = [call for call in transcript.calls if call.payload != lost]


def lose_stop(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    lost = last(transcript, "StopTransaction").payload
    transcript.calls[:] = [call for call in transcript.calls if call.payload != lost]


def lose_samples(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    transcript.calls[:] = [call for call in transcript.calls if call.action != "MeterValues"]


def lose_security_event(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    transcript.calls[:] = [call for call in transcript.calls if call.payload.get("type") != "Torture"]


def lose_session(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    records.pop()


def repeat_start_otherwise(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    call = last(transcript, "StartTransaction")
    transcript.calls.append(replace(changed(call), text=changed(call).text.replace(b'"idTag"', b' "idTag"')))


def repeat_stop_otherwise(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    call = last(transcript, "StopTransaction")
    transcript.calls.append(changed(call, meterStop=call.payload["meterStop"] + 1))


def stop_with_another_id(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    call = last(transcript, "StopTransaction")
    transcript.calls[transcript.calls.index(call)] = changed(call, transactionId=-1)


def use_message_id_twice(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    transcript.calls.append(transcript.calls[-1])


def split_sample_again(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    call = last(transcript, "MeterValues")
    transcript.calls.append(changed(call, meterValue=call.payload["meterValue"] * 2))


def stop_before_its_samples(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    values = last(transcript, "MeterValues")
    transcript.calls.remove(values)
    transcript.calls.append(values)


def start_before_the_last_stop(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    """Of a connector that had a transaction before."""
    known: dict[int, Sent] = {}
    for call in transcript.of("StartTransaction"):
        first = known.setdefault(call.payload["connectorId"], call)
        if call.payload != first.payload:
            transcript.calls.remove(call)
            transcript.calls.insert(0, call)
            return


def let_register_fall(ledger: Ledger, transcript: Transcript, records: list[dict[str, object]]) -> None:
    call = last(transcript, "MeterValues")
    values = [{**value, "sampledValue": [{"value": "1000000"}]} for value in call.payload["meterValue"]]
    transcript.calls[transcript.calls.index(call)] = changed(call, meterValue=values)


CHANGES: Final[tuple[tuple[Change, str], ...]] = (
    (lose_start, "the start of session"),
    (lose_stop, "the stop of session"),
    (lose_samples, "the sample of session"),
    (lose_security_event, "the security event"),
    (lose_session, "no session of the list has sent"),
    (repeat_start_otherwise, "was started with different bytes"),
    (repeat_stop_otherwise, "was stopped with different bytes"),
    (stop_with_another_id, "no session of the list has sent"),
    (use_message_id_twice, "was used twice"),
    (split_sample_again, "is in two different MeterValues"),
    (stop_before_its_samples, "out of order"),
    (start_before_the_last_stop, "a transaction was started before the stop of the last one"),
    (let_register_fall, "its registers fall"),
)


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_checker_finds_what_is_wrong_with_a_run(outcomes: list[Outcome], change: Change, words: str) -> None:
    """One thing changed in a whole run is enough."""
    random = Random(SEED)  # noqa: S311  # repeatable on purpose
    outcome = copy.deepcopy(random.choice(outcomes))
    before = Checker(outcome.ledger, outcome.transcript, outcome.records).problems()
    change(outcome.ledger, outcome.transcript, outcome.records)
    after = Checker(outcome.ledger, outcome.transcript, outcome.records).problems()
    assert [problem for problem in after if words in problem and problem not in before], after
