"""Characters of an embedded CSMS: how it judges id tags, how it treats the answer to a message, what it de-duplicates.

Owns the five scripted personalities and the vocabulary of faults. Chance comes out of a seed. Must never touch a
connection: it says what shall happen, :mod:`ocpphub.sim.csms` does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

Answer = Literal["once", "never", "twice", "wrong_id", "call_error", "cut"]
BILLING: Final = frozenset({"StartTransaction", "MeterValues", "StopTransaction"})
"""The transaction-related messages of OCPP 1.6 section 3.7."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of one CALL of a charge point.

    ``answer``: ``once``; ``never`` (processed, but the answer is lost); ``twice``; ``wrong_id`` (an answer to a CALL
    that nobody made); ``call_error`` (InternalError, not processed); ``cut`` (the TCP connection breaks instead of an
    answer). ``processed`` false leaves no trace in the ledger. The answer comes after ``delay_s``.
    """

    answer: Answer = "once"
    delay_s: float = 0.0
    processed: bool = True


NORMAL: Final = Treatment()
LOST: Final = Treatment("never")
TWICE: Final = Treatment("twice")
WRONG_ID: Final = Treatment("wrong_id")
CALL_ERROR: Final = Treatment("call_error", processed=False)
CUT: Final = Treatment("cut", processed=False)
CUT_AFTER: Final = Treatment("cut")
"""The faults by name; the two cuts differ in whether the message was processed before."""


class Personality:
    """Accepts every tag, answers everything at once, and makes a session of each StartTransaction."""

    deduplicates = False

    def verdict(self, action: str, id_tag: str) -> str:
        """The AuthorizationStatus of a tag in the answer to Authorize, StartTransaction or StopTransaction."""
        return "Accepted"

    def treat(self, action: str, payload: dict[str, Any]) -> Treatment:
        """What becomes of a CALL."""
        return NORMAL


class Slow(Personality):
    """Answers everything late: from ``least_s`` to ``most_s``, which has to stay below MessageTimeout."""

    def __init__(self, seed: int = 1, *, least_s: float = 0.2, most_s: float = 1.0) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose, as all chance here
        self._span_s = least_s, most_s

    def treat(self, action: str, payload: dict[str, Any]) -> Treatment:
        """Late."""
        return Treatment(delay_s=self._random.uniform(*self._span_s))


class DropsAnswers(Personality):
    """Processes everything, but a share of the answers to transaction-related messages is never sent."""

    def __init__(self, seed: int = 1, *, share: float = 0.1, actions: frozenset[str] = BILLING) -> None:
        self._random = Random(seed)  # noqa: S311
        self._share = share
        self._actions = actions

    def treat(self, action: str, payload: dict[str, Any]) -> Treatment:
        """Lost, now and then."""
        return LOST if action in self._actions and self._random.random() < self._share else NORMAL


class RefusesTags(Personality):
    """Refuses a share of the tags, each of them always with the same words.

    ``at_start_only`` refuses what Authorize had accepted, as a CSMS does that judges a contract late. ConcurrentTx
    means something in StartTransaction.conf only (section 7.2); Authorize says Blocked then.
    """

    STATUSES: Final = ("Invalid", "Blocked", "Expired", "ConcurrentTx")

    def __init__(self, seed: int = 1, *, share: float = 0.3, at_start_only: bool = False) -> None:
        self._seed = seed
        self._share = share
        self._at_start_only = at_start_only

    def verdict(self, action: str, id_tag: str) -> str:
        """The same for a tag whenever it is asked for."""
        random = Random(f"{self._seed}/{id_tag.casefold()}")  # noqa: S311
        if random.random() >= self._share or (self._at_start_only and action == "Authorize"):
            return "Accepted"
        status = random.choice(self.STATUSES)
        return "Blocked" if status == "ConcurrentTx" and action != "StartTransaction" else status


class Deduplicates(DropsAnswers):
    """As SteVe: the same connector, tag, timestamp and meterStart get the transaction id that they got before.

    Its answers are lost as those of :class:`DropsAnswers` are, for else there would be nothing to see.
    """

    deduplicates = True


PERSONALITIES: Final[dict[str, Callable[[int], Personality]]] = {
    "accept_all": lambda seed: Personality(),
    "slow": Slow,
    "drops_answers": DropsAnswers,
    "refuses_tags": RefusesTags,
    "deduplicates": Deduplicates,
}
"""The five by name; each is made from a seed."""
