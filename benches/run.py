"""``make bench``: every table from one run, written to RESULTS.md and RESULTS.json.

Owns the order of a full run. Must never judge anything that another run has measured, except what it says so of.
"""

from __future__ import annotations

import argparse
import sys

from benches import beside, delivery, durability, frames, interface, process, report, schedules
from benches.traffic_report import Traffic


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write. Exit code 0 whatever the figures are: goals are judged by benches.quick and by readers."""
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="interleaved rounds per statement")
    parser.add_argument(
        "--beside",
        action="store_true",
        help="also build what is compared with: a version-specific extension, the JSON reader on jiter",
    )
    parser.add_argument("--dry", action="store_true", help="print only, write no file")
    options = parser.parse_args(arguments)
    results = frames.run(options.rounds)
    composites = schedules.run(options.rounds)
    traffic = Traffic(*(part.run(options.rounds) for part in (interface, delivery, durability, process)))
    extra = beside.measured() if options.beside else beside.committed()
    sys.stdout.write(report.markdown(results, composites, traffic, extra))
    if not options.dry:
        report.write(results, composites, traffic, extra)
    return 0


if __name__ == "__main__":
    sys.exit(main())
