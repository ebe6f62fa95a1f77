"""Whether the Rust extension in a source checkout is the one that its sources give: neither stale nor a debug build.

Owns the digest that ``build.rs`` stamps into the extension, computed again from the sources. Does nothing in an
installed wheel, which has no sources. Must never build anything: ``make build`` does, and asks here first whether it
has to.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def source_hash(root: Path) -> str:
    """The digest of ``Cargo.toml``, ``Cargo.lock`` and every ``rust/**/*.rs``, as ``build.rs`` computes it."""
    files = [root / "Cargo.toml", root / "Cargo.lock", *(root / "rust").rglob("*.rs")]
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.relative_to(root).parts):
        content = file.read_bytes() if file.exists() else b""
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def is_checkout(root: Path = ROOT) -> bool:
    """True where the sources of the extension lie beside the package."""
    return (root / "Cargo.toml").is_file() and (root / "rust" / "lib.rs").is_file() and (root / "python").is_dir()


def complaint(root: Path = ROOT) -> str | None:
    """What is wrong with the extension, in a sentence that says what to do; ``None`` when nothing is."""
    if not is_checkout(root):
        return None
    try:
        native = importlib.import_module("ocpphub._native")
    except ImportError as error:
        return f"the extension ocpphub._native is not built ({error}): run `make build`"
    if native.BUILD != "release":
        return f"the extension is a {native.BUILD} build, many times slower than what is shipped: run `make build`"
    if source_hash(root) != native.SOURCE_HASH:
        return "the extension is stale, its Rust sources have changed since: run `make build`"
    return None


def warn() -> None:
    """Emit the complaint, if there is one, as a ``RuntimeWarning``."""
    if text := complaint():
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def main() -> int:
    """Exit code 0 when the extension is current; else 1 and the complaint on standard error."""
    if text := complaint():
        sys.stderr.write(f"{text}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
