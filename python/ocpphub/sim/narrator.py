"""What a person reads while the tour runs: steps, requests, answers, progress; colour on a terminal, plain text else.

Owns the screen. Must never decide whether a step was seen; it counts what it is told.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, Final, TextIO

_STYLES: Final = {"title": "1", "request": "36", "answer": "32", "note": "2", "failed": "1;31", "good": "1;32"}


class Narrator:
    """Writes the tour to a stream; ``coloured`` says whether the stream is a terminal that may be decorated."""

    def __init__(self, stream: TextIO, *, coloured: bool) -> None:
        self._stream = stream
        self._coloured = coloured
        self._is_terminal = stream.isatty()
        self._width = shutil.get_terminal_size((100, 24)).columns if self._is_terminal else 0
        self._progress_shown = False
        self.steps = 0
        self.failures: list[str] = []

    def step(self, title: str) -> None:
        """Begin the next step."""
        self.steps += 1
        self._line("")
        self._line(self._styled("title", f"{self.steps}. {title}"))

    def request(self, method: str, params: Any) -> None:
        """A request on the socket."""
        self._line(self._styled("request", f"   > {method}{' ' + _json(params) if params else ''}"))

    def answer(self, result: Any) -> None:
        """The answer to it, shortened where a screen would not hold it."""
        self._line(self._styled("answer", f"   < {_short(_json(result))}"))

    def csms(self, text: str) -> None:
        """Something the CSMS did or received."""
        self._line(f"   CSMS: {text}")

    def event(self, topic: str, value: Any) -> None:
        """A publication that arrived."""
        self._line(self._styled("answer", f"   event {topic} {_short(_json(value))}"))

    def note(self, text: str) -> None:
        """An explanation."""
        self._line(self._styled("note", f"   {text}"))

    def plain(self, text: str = "") -> None:
        """A line as it is."""
        self._line(text)

    def seen(self, text: str) -> None:
        """What the step should show was seen."""
        self._line(self._styled("good", f"   ok: {text}"))

    def failed(self, text: str) -> None:
        """What the step should show was not seen."""
        self.failures.append(text)
        self._line(self._styled("failed", f"   NOT SEEN: {text}"))

    def check(self, condition: bool, text: str) -> None:
        """:meth:`seen` or :meth:`failed`."""
        (self.seen if condition else self.failed)(text)

    def progress(self, text: str) -> None:
        """A line that the next one replaces; left out where there is no terminal."""
        if self._is_terminal:
            self._stream.write(f"\r   {text[: self._width - 4]}\x1b[K")
            self._stream.flush()
            self._progress_shown = True

    def _line(self, text: str) -> None:
        if self._progress_shown:
            self._stream.write("\r\x1b[K")
            self._progress_shown = False
        self._stream.write(text + os.linesep)
        self._stream.flush()

    def _styled(self, style: str, text: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._coloured else text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"
