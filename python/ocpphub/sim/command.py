"""The arguments of ``ocpphub simulate``.

Owns names, ranges and help. Must never import what a run needs before one is asked for: the command line builds every
parser at each start.

Source: surface.md "Command line".
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ocpphub.sim.simulate import Plan

SCENARIOS: Final = ("steady", "day", "rush", "trouble")
"""The kinds of :mod:`ocpphub.sim.scenario`."""


def add_parser(commands: Any, shared: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add ``simulate`` to the command line; the caller sets what it runs."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "simulate",
        parents=shared,
        help="controllers and vehicles for a running hub",
        epilog="the same seed gives the same scenario; power and energy are those of the wall clock at any speed",
    )
    parser.add_argument("--connectors", type=_connectors, required=True, metavar="RANGE", help='such as "1-50"')
    parser.add_argument("--controllers", type=_number(1, 1_000), default=1, metavar="N", help="connections (1)")
    parser.add_argument("--seed", type=_number(0, 10**18), default=1, metavar="N", help="(%(default)s)")
    parser.add_argument(
        "--duration", type=_number(1, 10**9), default=60, metavar="S", help="seconds that it takes (%(default)s)"
    )
    parser.add_argument(
        "--speed", type=_number(1, 10**5), default=60, metavar="N", help="seconds of the scenario in one (%(default)s)"
    )
    parser.add_argument("--scenario", choices=SCENARIOS, default="steady", help="(%(default)s)")
    parser.add_argument("--charge-point", metavar="IDENTITY", help="where the hub has several")
    return parser


def plan(options: argparse.Namespace) -> Plan:
    """The plan that the arguments ask for."""
    from ocpphub.sim.simulate import Plan

    return Plan(
        options.socket,
        options.connectors,
        options.controllers,
        options.seed,
        options.duration,
        options.speed,
        options.scenario,
        options.charge_point,
    )


def _connectors(text: str) -> list[int]:
    from ocpphub.errors import LocalError
    from ocpphub.rpc.connectors import ConnectorSet

    try:
        connectors = [each for each in ConnectorSet.parse(text) if each]
    except LocalError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is {error.message}: {error.hint}") from None
    if not connectors:
        raise argparse.ArgumentTypeError(f"{text!r} has no connector from 1")
    return connectors


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not least <= int(text[:30]) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read
