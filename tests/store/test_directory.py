"""The state directory: files that are old or new, and private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ocpphub.store.directory import make_private, sync, write_durably


def test_write_durably_leaves_a_private_file_and_no_trace_of_the_way_there(tmp_path: Path) -> None:
    """T28; reliability 4.3.9."""
    path = tmp_path / "text"
    write_durably(path, "old")
    before = os.umask(0)
    try:
        write_durably(path, "new")
    finally:
        os.umask(before)
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["text"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_write_durably_cut_short_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability 4.3.9: no step before the rename touches the file."""
    path = tmp_path / "text"
    write_durably(path, "old")

    def fail(*_: object) -> None:
        raise OSError("cut")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os if step == "fsync" else Path, step, fail)
            with pytest.raises(OSError, match="cut"):
                write_durably(path, "new")
        assert path.read_text() == "old"
    write_durably(path, "new")
    assert path.read_text() == "new"


def test_make_private_follows_no_link(tmp_path: Path) -> None:
    """T28."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        make_private(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_sync_of_what_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "nothing")
