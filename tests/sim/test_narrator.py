"""What the tour writes on a terminal and into a pipe."""

from __future__ import annotations

import io

from ocpphub.sim.narrator import Narrator


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_narrator_into_a_pipe_writes_plain_lines_and_no_progress() -> None:
    """Piped output is for programs."""
    stream = io.StringIO()
    say = Narrator(stream, coloured=False)
    say.step("First")
    say.progress("1 of 2")
    say.request("stop", {})
    say.answer(True)
    assert stream.getvalue() == "\n1. First\n   > stop\n   < true\n"


def test_narrator_on_a_terminal_replaces_progress_and_colours() -> None:
    """A progress line does not stay."""
    stream = Terminal()
    say = Narrator(stream, coloured=True)
    say.progress("1 of 2")
    say.seen("both")
    assert stream.getvalue() == "\r   1 of 2\x1b[K\r\x1b[K\x1b[1;32m   ok: both\x1b[0m\n"


def test_narrator_remembers_what_was_not_seen_and_shortens_long_answers() -> None:
    """One failure is enough for exit code 1."""
    stream = io.StringIO()
    say = Narrator(stream, coloured=False)
    say.check(True, "a")
    say.check(False, "b")
    say.answer("x" * 1000)
    assert say.failures == ["b"]
    assert "NOT SEEN: b" in stream.getvalue()
    assert "(1002 characters)" in stream.getvalue()
