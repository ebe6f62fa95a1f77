"""A stale, debug or missing extension is noticed and named."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from ocpphub import checkout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout with sources in two folders."""
    for name in ("rust/lib.rs", "rust/deep/part.rs", "python/x", "Cargo.toml", "Cargo.lock"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def install(monkeypatch: pytest.MonkeyPatch, build: str, digest: str) -> None:
    native = ModuleType("ocpphub._native")
    native.BUILD = build  # type: ignore[attr-defined]
    native.SOURCE_HASH = digest  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ocpphub._native", native)


def test_extension_of_these_sources_is_current(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said when nothing is wrong."""
    install(monkeypatch, "release", checkout.source_hash(tree))
    assert checkout.complaint(tree) is None


def test_extension_of_other_sources_is_stale(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed, a renamed and a new source each make it stale."""
    install(monkeypatch, "release", checkout.source_hash(tree))
    (tree / "rust/deep/part.rs").rename(tree / "rust/deep/other.rs")
    assert "stale" in str(checkout.complaint(tree))


def test_extension_built_for_debugging_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A debug build is never used in silence."""
    install(monkeypatch, "debug", checkout.source_hash(tree))
    assert "debug build" in str(checkout.complaint(tree))


def test_extension_that_is_missing_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to run."""
    monkeypatch.setitem(sys.modules, "ocpphub._native", None)
    assert "make build" in str(checkout.complaint(tree))


def test_installed_wheel_has_no_sources_to_compare(tmp_path: Path) -> None:
    """Outside a checkout there is nothing to say."""
    assert not checkout.is_checkout(tmp_path)
    assert checkout.complaint(tmp_path) is None


def test_warning_names_the_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing a stale checkout warns."""
    monkeypatch.setattr(checkout, "complaint", lambda: "stale: run `make build`")
    with pytest.warns(RuntimeWarning, match="make build"):
        checkout.warn()
    assert checkout.main() == 1


def test_extension_in_this_checkout_is_current() -> None:
    """No run of the tests with a stale or debug build of the extension is green."""
    assert checkout.complaint() is None
