"""What the hub may write to its log, read out of its sources: the rows of ``docs/reference/log-events.md``.

Owns the reading. Must never import what it reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

PACKAGE: Final = Path(__file__).resolve().parents[1] / "python" / "ocpphub"
LEVELS: Final = ("critical", "error", "warning", "info")
"""Of those worth a page; DEBUG shows frames, and is for developers."""
MEANING: Final = {
    "critical": "The process ends, or the store was damaged.",
    "error": "A bug, or something is lost that was to be kept.",
    "warning": "Somebody else broke the standard, or a limit was reached.",
    "info": "What happens in the life of a hub.",
}
_METHODS: Final = {level: level for level in LEVELS} | {"exception": "error"}
_NAMES: Final = ("log", "logger", "_logger")
_PLACE: Final = re.compile(r"%[-+ #0]*[0-9]*(?:\.[0-9]+)?[sdrgfx]")


class Event(NamedTuple):
    """One kind of record: its level, the logger, the text with its changing parts left open."""

    level: str
    logger: str
    text: str


@cache
def events() -> list[Event]:
    """Every kind of record, the worst level first."""
    found = {event for path in PACKAGE.rglob("*.py") if "sim" not in path.parts for event in _of(path)}
    return sorted(found, key=lambda event: (LEVELS.index(event.level), event.logger, event.text))


def _of(path: Path) -> Iterator[Event]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    logger = _logger(tree, path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if name in _NAMES and (text := _text(node.args[0])) != "...":  # else the text is an error's own
                yield Event(_METHODS[node.func.attr], logger, text)


def _logger(tree: ast.Module, path: Path) -> str:
    """The logger that the module names, else that of its folder."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_named(node.targets[0]):
            return str(ast.literal_eval(node.value.args[0]))
    return f"ocpphub.{path.relative_to(PACKAGE).with_suffix('').parts[0]}"


def _is_named(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id in _NAMES


def _text(argument: ast.expr) -> str:
    text = argument.value if isinstance(argument, ast.Constant) else ""
    assert isinstance(text, str)
    assert text, f"line {argument.lineno}: the text of a record is a literal"
    return _PLACE.sub("...", text)
