"""What holds for every test run: a stale, debug or missing extension is named before anything else.

``tests/test_checkout.py`` fails on it too, so that no run with the wrong extension is green.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from ocpphub import checkout


def pytest_report_header() -> list[str]:
    """A line at the top of the run, only when something is wrong with the extension."""
    text = checkout.complaint()
    return [f"WARNING: {text}"] if text else []


def pytest_terminal_summary(terminalreporter: object) -> None:
    """The same at the bottom, where it is seen in a long run (``-q`` shows no header)."""
    if (text := checkout.complaint()) and hasattr(terminalreporter, "write_line"):
        terminalreporter.write_line(f"WARNING: {text}", red=True)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A test that sets the log up as a daemon does must not take the records of those after it."""
    logger = logging.getLogger("ocpphub")
    before = logger.propagate, logger.level, logger.disabled, list(logger.handlers)
    yield
    logger.propagate, logger.level, logger.disabled = before[:3]
    logger.handlers[:] = before[3]
