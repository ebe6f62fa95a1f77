"""Judges fairness where all is quiet: could anybody have more without taking from one who has less? By brute force.

Clause ``d`` of ``judge.py``: no permit of a ready connector can be raised by 0.1 A without lowering one that is not
larger, or one at its minimum; and nobody waits whose minimum fits beside the minimums of those who have a share.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from tests.allocation.book import Book, Connector, Limit


def unfair(book: Book) -> Iterator[str]:
    """One line for each connector that could have more; connectors that are in the same situation count once."""
    seen: set[Hashable] = set()
    for each in book.connectors:
        wish = each.wish
        if wish is None or not each.contends or each.tenths >= wish.tenths or each.is_dead:
            continue
        key = (each.above, each.loads[wish.phases - 1], each.tenths, each.permit.phases, each.minimum)
        if key not in seen:
            seen.add(key)
            if _could_have_more(each, wish.phases):
                limits = "; ".join(limit.text(limit.used) for limit in each.above)
                yield f"{each.name} could have more than {each.tenths} tenths of {wish.tenths}: {limits}"


def _could_have_more(each: Connector, phases: int) -> bool:
    wanted = each.tenths + 1 if each.tenths else each.minimum
    own = each.load(wanted, phases)
    for limit in each.above:
        for at in range(4):
            needed = own[at] - each.claim[at]
            room = limit.cap[at] - limit.used[at]
            if needed > 0 and room < needed and room + _freed(limit, each, wanted, at) < needed:
                return False
    return True


def _freed(limit: Limit, each: Connector, wanted: int, at: int) -> int:
    """What the others beneath a limit could give away to this one."""
    freed = 0
    for other in limit.below:
        if not other.tenths or other is each or not other.is_told:
            continue
        if not other.contends:
            least = 0  # it takes nothing now
        elif not each.tenths:
            least = other.minimum
        else:
            least = max(other.minimum, wanted)
        if least < other.tenths:
            freed += other.loads[other.permit.phases - 1][at] * (other.tenths - least)
    return freed
