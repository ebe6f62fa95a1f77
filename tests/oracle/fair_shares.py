"""Fair shares by other ways than the engine's: whole numbers for what fits, linear programs for what is fair.

Owns the independent answer to a case: what its limits say as rows, who is admitted, the continuous max-min shares, and
the definition of a fair share in single steps. Must never ask the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scipy.optimize import linprog

from tests.oracle.allocation_cases import Case

TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Row:
    """Units of one limit and kind by member, per step; and what is left of it by what is held, negative if exceeded."""

    limit: int
    loads: Mapping[int, int]
    room: int

    def fits(self, shares: Mapping[int, int]) -> bool:
        """Whether these shares are within it."""
        return sum(load * shares.get(member, 0) for member, load in self.loads.items()) <= self.room


def rows(case: Case) -> list[Row]:
    """Every kind of every limit that is set; one unit is 0.1 uA of the limit, or 0.1 mW."""
    found = []
    for limit, (milliamperes, milliwatts) in enumerate(case.limits):
        members = [index for index, member in enumerate(case.members) if limit in member[0]]
        kinds = [{index: case.members[index][1][phase] for index in members} for phase in range(3)]
        rooms = [None if milliamperes is None else milliamperes * 10_000] * 3
        kinds.append({index: case.members[index][2] for index in members})
        rooms.append(None if milliwatts is None else milliwatts * 10)
        for loads, room in zip(kinds, rooms, strict=True):
            if room is not None:
                claims = sum(load * case.held[index] for index, load in loads.items())
                found.append(Row(limit, loads, room - claims))
    return found


def admitted(case: Case, table: Sequence[Row]) -> list[int]:
    """Everybody at once where that fits, else one after the other in the order."""
    exceeded = {row.limit for row in table if row.room < 0}
    able = [
        index
        for index in case.order
        if case.bounds[index] >= case.minimums[index] and not exceeded & set(case.members[index][0])
    ]
    if all(row.fits({index: case.minimums[index] for index in able}) for row in table if row.room >= 0):
        return able
    taken: dict[int, int] = {}
    for index in able:
        tried = taken | {index: case.minimums[index]}
        if all(row.fits(tried) for row in table if index in row.loads):
            taken = tried
    return list(taken)


def raisable(case: Case, table: Sequence[Row], shares: Mapping[int, int]) -> list[int]:
    """Who could get one step more while nobody falls below that, or below a minimum."""
    found = []
    for index, share in shares.items():
        more = share + 1
        others = {other: max(case.minimums[other], min(have, more)) for other, have in shares.items()}
        mine = [row for row in table if index in row.loads]
        if more <= case.bounds[index] and all(row.fits(others | {index: more}) for row in mine):
            found.append(index)
    return found


def level(
    case: Case, table: Sequence[Row], rising: Collection[int], fixed: Mapping[int, float]
) -> tuple[float, list[int]]:
    """The highest level that all of ``rising`` reach together, and those of them that no solution takes higher.

    The program is: maximise t, where every share is within its own bounds and the rows, and is t at least. Who has a
    price there is at t in every solution.
    """
    names = [*rising, *fixed]
    columns = {member: column for column, member in enumerate(names)}
    level_column = len(names)
    matrix, right = [], []
    for row in table:
        used = [member for member in names if row.loads.get(member)]
        if used:
            line = [0.0] * (level_column + 1)
            size = max(row.loads[member] for member in used)
            for member in used:
                line[columns[member]] = row.loads[member] / size
            matrix.append(line)
            right.append(row.room / size)
    first = len(matrix)
    for member in rising:
        line = [0.0] * (level_column + 1)
        line[columns[member]], line[level_column] = -1.0, 1.0
        matrix.append(line)
        right.append(0.0)
    span: list[tuple[float, float | None]] = [(case.minimums[member], case.bounds[member]) for member in rising]
    span += [*((value, value) for value in fixed.values()), (0.0, None)]
    answer = linprog([0.0] * level_column + [-1.0], A_ub=matrix, b_ub=right, bounds=span, method="highs")
    assert answer.status == 0, answer.message
    prices = answer.ineqlin.marginals[first:]
    return float(answer.x[level_column]), [m for m, price in zip(rising, prices, strict=True) if price < -TINY]


def continuous(case: Case, table: Sequence[Row], members: Sequence[int]) -> dict[int, float]:
    """Max-min shares without steps: the highest common level, who cannot rise above it stays, and so on."""
    rising, fixed = list(members), dict[int, float]()
    while rising:
        reached, stuck = level(case, table, rising, fixed)
        assert stuck, "nobody holds the level down"
        fixed |= dict.fromkeys(stuck, reached)
        rising = [member for member in rising if member not in fixed]
    return fixed


def misplaced(case: Case, table: Sequence[Row], shares: Mapping[int, int]) -> str:
    """What a linear program says against shares in whole steps, or nothing.

    Given those that stay lower, the rest reaches the common level of the program, rounded down to a step, and one of
    them stays exactly there.
    """
    rising, fixed = list(shares), dict[int, float]()
    while rising:
        reached, _ = level(case, table, rising, fixed)
        least = min(shares[member] for member in rising)
        if not int(reached - 1e-5) <= least <= int(reached + 1e-5):
            return f"{least} is the least of {rising}, which reach {reached:.6f} together"
        fixed |= {member: float(least) for member in rising if shares[member] == least}
        rising = [member for member in rising if member not in fixed]
    return ""
