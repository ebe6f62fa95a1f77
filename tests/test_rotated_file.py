"""A file that only grows: modes, room, rotation, nothing half."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ocpphub.rotated_file import RotatedFile


@pytest.fixture
def file(tmp_path: Path) -> RotatedFile:
    return RotatedFile(tmp_path / "logs" / "log", 10, 3)


def test_append_makes_private_files_in_a_private_directory(file: RotatedFile) -> None:
    """T28, S-158: whatever the umask."""
    before = os.umask(0)
    try:
        file.append(b"a\n", is_durable=True)
        file.append(b"b\n", is_durable=False)
    finally:
        os.umask(before)
    assert file.path.read_bytes() == b"a\nb\n"
    assert file.size() == 4
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_full_file_is_moved_aside_and_the_oldest_given_up(file: RotatedFile) -> None:
    """T37: the ceiling holds."""
    for text in (b"1" * 6, b"2" * 6, b"3" * 6, b"4" * 6, b"5" * 4):
        if not file.has_room(len(text)):
            file.rotate()
        file.append(text, is_durable=False)
    assert [path.read_bytes() for path in file.paths()] == [b"2" * 6, b"3" * 6, b"4" * 6 + b"5" * 4]
    assert file.is_full


def test_empty_file_takes_what_is_larger_than_a_file(file: RotatedFile) -> None:
    """Nothing waits for a room that never comes."""
    assert file.has_room(100)
    file.append(b"x" * 100, is_durable=False)
    assert not file.has_room(1)
    assert not file.is_full


def test_append_that_fails_leaves_nothing_behind(file: RotatedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """T37: no half line before the next one."""
    file.append(b"whole\n", is_durable=True)
    written = os.write

    def half(descriptor: int, data: memoryview) -> int:
        if bytes(data) == b"new\n":
            return written(descriptor, data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        file.append(b"new\n", is_durable=True)
    assert file.path.read_bytes() == b"whole\n"


def test_append_follows_no_symbolic_link(file: RotatedFile, tmp_path: Path) -> None:
    """T35: a planted link is refused, its target untouched."""
    target = tmp_path / "target"
    target.write_text("mine")
    file.path.parent.mkdir()
    file.path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        file.append(b"x", is_durable=False)
    assert target.read_text() == "mine"
    assert file.paths() == []


def test_cut_keeps_the_beginning(file: RotatedFile) -> None:
    """T37: what a crash has torn is removed."""
    file.append(b"whole\ntor", is_durable=True)
    file.cut(6)
    assert file.path.read_bytes() == b"whole\n"
