"""The matrix tool finds ids in both languages, says why others have no test, and refuses what cannot be true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import requirements_matrix


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("docs", "tests", "rust"):
        (tmp_path / folder).mkdir()
    (tmp_path / "docs/requirement-ids.txt").write_text("# a comment\n[boot]\nX-01 first\nX-02\n[other]\nT05\n")
    return tmp_path


def test_matrix_lists_python_and_rust_tests_and_what_no_test_cites(tree: Path) -> None:
    """Docstrings of tests count, docstrings of other functions do not."""
    (tree / "tests/test_a.py").write_text(
        'async def test_one() -> None:\n    """X-01: so."""\ndef helper():\n    """T05"""\n'
    )
    (tree / "rust/a.rs").write_text("// req: X-01, X-02\n#[test]\nfn frame_two() {}\n")
    assert requirements_matrix.main([], tree) == 0
    text = (tree / "docs/requirements.md").read_text()
    assert "| X-01 | first | `rust/a.rs::frame_two` <br> `tests/test_a.py::test_one` |" in text
    assert "2 of 3 ids are cited" in text
    assert "No test yet: T05" in text


@pytest.mark.parametrize("source", ['def test_a():\n    """J-999"""\n', "// req: TYPO\nfn a() {}\n"])
def test_matrix_refuses_an_id_nobody_knows(tree: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not look like coverage."""
    (tree / ("tests/test_a.py" if "def" in source else "rust/a.rs")).write_text(source)
    assert requirements_matrix.main([], tree) == 1
    assert "unknown requirement id" in capsys.readouterr().err


def test_matrix_says_why_a_row_has_no_test(tree: Path) -> None:
    """In the place of the tests, in the order of the list, with a title or without; ids without a why stay apart."""
    ids = "[boot]\nX-01 first | waits for X\nX-02 second\nX-03\n[other]\nT05 | not built yet\n"
    (tree / "docs/requirement-ids.txt").write_text(ids)
    (tree / "rust/a.rs").write_text("// req: X-02\nfn two() {}\n")
    assert requirements_matrix.main([], tree) == 0
    text = (tree / "docs/requirements.md").read_text()
    assert "\n| X-01 | first | waits for X |\n| X-02 | second | `rust/a.rs::two` |\n\nNo test yet: X-03\n" in text
    assert text.endswith("\n## Other: 0 of 1\n\n| id | title | tests |\n|---|---|---|\n| T05 |  | not built yet |\n")
    assert "1 of 4 ids are cited" in text


def test_matrix_refuses_a_why_of_an_id_that_is_cited(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reason must not outlive the day of the test, and nothing is written."""
    (tree / "docs/requirement-ids.txt").write_text("[boot]\nX-01 first | waits for X\n")
    (tree / "rust/a.rs").write_text("// req: X-01\nfn one() {}\n")
    assert requirements_matrix.main([], tree) == 1
    assert "rust/a.rs::one: cites X-01" in capsys.readouterr().err
    assert not (tree / "docs/requirements.md").exists()


def test_matrix_that_is_out_of_date_fails_the_check(tree: Path) -> None:
    """`make check` writes nothing and notices."""
    assert requirements_matrix.main(["--check"], tree) == 1
    assert requirements_matrix.main([], tree) == 0
    assert requirements_matrix.main(["--check"], tree) == 0
