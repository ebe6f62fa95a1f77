"""The generated reference pages are complete, and a stale one is noticed."""

from __future__ import annotations

from pathlib import Path

from ocpphub.rpc.methods import METHODS
from tests import reference


def test_reference_describes_every_method_with_its_parameters() -> None:
    """The page follows from the table of methods."""
    page = reference.pages()["methods.md"]
    for method in METHODS.values():
        _, _, section = page.partition(f"## `{method.name}`\n")
        section = section.partition("\n## ")[0]
        assert "Result: " in section, method.name
        for parameter in method.parameters:
            assert f"| `{parameter.name}` |" in section


def test_reference_draws_every_edge_of_the_status_table() -> None:
    """CORE-STAT-02: 53 edges, and a way around each of the 19 that are missing."""
    page = reference.pages()["status.md"]
    cells = [cell.strip() for line in page.splitlines() if line.startswith("| ") for cell in line.split("|")[2:-1]]
    assert len([cell for cell in cells if len(cell) == 2 and cell[0] in "ABCDEFGHI"]) == 53
    assert len([cell for cell in cells if cell.startswith("(")]) == 19
    assert "Preparing --> Charging" in page


def test_reference_lists_what_the_log_may_say() -> None:
    """style.md "Limits and logging": each kind of record, under its level."""
    page = reference.pages()["log-events.md"]
    _, _, warnings = page.partition("## WARNING\n")
    assert "| `ocpphub.core` | the queue is at its bound: ... samples were given up |" in warnings
    assert page.index("## CRITICAL") < page.index("cannot start: ...") < page.index("## ERROR")


def test_reference_that_is_out_of_date_fails_the_check(tmp_path: Path) -> None:
    """`make check` writes nothing and notices."""
    assert reference.main(["--check"], tmp_path) == 1
    assert reference.main([], tmp_path) == 0
    assert reference.main(["--check"], tmp_path) == 0
    (tmp_path / "docs/reference/methods.md").write_text("old")
    assert reference.main(["--check"], tmp_path) == 1
