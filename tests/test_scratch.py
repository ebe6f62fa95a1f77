"""scratch.py: a private directory for files under way; links, foreign names and foreign eyes are kept out."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocpphub.errors import LocalError
from ocpphub.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    scratch = Scratch(tmp_path / "transfers")
    yield scratch
    scratch.close()


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_directory_and_files_are_of_their_owner_alone(scratch: Scratch) -> None:
    """T28, T35: whatever the umask is."""
    before = os.umask(0)
    try:
        descriptor, path = scratch.create()
    finally:
        os.umask(before)
    assert (mode(scratch.directory), mode(path)) == (0o700, 0o600)
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(descriptor)


def test_file_is_written_read_and_discarded(scratch: Scratch) -> None:
    """T35."""
    descriptor, path = scratch.create()
    os.write(descriptor, b"firmware")
    os.close(descriptor)
    again = scratch.open(path)
    assert os.read(again, 100) == b"firmware"
    os.close(again)
    scratch.discard(path)
    scratch.discard(path)
    assert os.listdir(scratch.directory) == []


def test_names_cannot_be_guessed(scratch: Scratch) -> None:
    """T35: 128 random bits each."""
    made = [scratch.create() for _ in range(20)]
    names = {Path(path).name for _, path in made}
    for descriptor, _ in made:
        os.close(descriptor)
    assert len(names) == 20
    assert {len(name) for name in names} == {32}


def test_start_removes_what_was_left_but_not_what_links_lead_to(tmp_path: Path) -> None:
    """T35: files, directories and planted links of an earlier process."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("x")
    directory = tmp_path / "transfers"
    directory.mkdir(0o700)
    (directory / "left").write_text("x")
    (directory / "folder").mkdir()
    (directory / "folder" / "left").write_text("x")
    (directory / "link").symlink_to(elsewhere)
    (directory / "file").symlink_to(elsewhere / "kept")
    Scratch(directory).close()
    assert list(directory.iterdir()) == []
    assert (elsewhere / "kept").read_text() == "x"


def test_directory_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    """T28: the mistake is named, with what to do."""
    directory = tmp_path / "transfers"
    directory.mkdir()
    directory.chmod(0o750)
    with pytest.raises(LocalError, match="mode is 0750") as caught:
        Scratch(directory)
    assert caught.value.hint.endswith(f"chmod 0700 {directory}")


def test_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """T35."""
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "transfers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalError, match="no private directory"):
        Scratch(tmp_path / "transfers")


@pytest.mark.parametrize(
    "name", ["../secret", "", ".", "..", "x/../../secret", "/etc/passwd", "a\0b", "secret\0", "x" * 4_096]
)
def test_path_that_is_none_of_ours_is_neither_read_nor_removed(scratch: Scratch, name: str) -> None:
    """T35: traversal, absolute, NUL and endless names."""
    secret = scratch.directory.parent / "secret"
    secret.write_text("x")
    path = name if name.startswith("/") else f"{scratch.directory}/{name}"
    with pytest.raises(OSError):
        scratch.open(path)
    if len(name) < 4_096:
        with pytest.raises(OSError):
            scratch.discard(path)
    assert secret.exists()


def test_planted_link_pipe_or_folder_is_not_read(scratch: Scratch, tmp_path: Path) -> None:
    """T35: neither followed nor waited for."""
    (tmp_path / "secret").write_text("x")
    (scratch.directory / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(scratch.directory / "pipe")
    (scratch.directory / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(OSError):
            scratch.open(f"{scratch.directory}/{name}")
    scratch.discard(f"{scratch.directory}/link")
    assert (tmp_path / "secret").exists()


def test_directory_is_let_go_with_its_last_user(tmp_path: Path) -> None:
    """A program may start and stop many hubs."""
    directory = tmp_path / "transfers"

    def descriptors() -> int:
        return sum(
            path.is_symlink() and os.path.realpath(path) == str(directory) for path in Path("/proc/self/fd").iterdir()
        )

    for _ in range(5):
        Scratch(directory)
    scratch = Scratch(directory)
    assert descriptors() == 1
    scratch.close()
    scratch.close()
    assert descriptors() == 0


def test_file_goes_into_the_directory_that_was_opened(scratch: Scratch, tmp_path: Path) -> None:
    """T35: whoever puts another directory in its place gets nothing."""
    scratch.directory.rename(tmp_path / "moved")
    (tmp_path / "other").mkdir()
    scratch.directory.symlink_to(tmp_path / "other")
    descriptor, path = scratch.create()
    os.close(descriptor)
    assert os.listdir(tmp_path / "other") == []
    assert os.listdir(tmp_path / "moved") == [Path(path).name]
