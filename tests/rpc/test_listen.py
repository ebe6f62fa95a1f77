"""rpc/listen.py: taking a path for the socket. These tests need the file system, and sockets that nobody uses."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from ocpphub.errors import LocalError
from ocpphub.rpc.listen import InheritedPath, ListeningPath


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.sock"


def refusal(path: Path) -> str:
    with pytest.raises(LocalError) as caught:
        ListeningPath(path)
    assert caught.value.code == "invalid_state"
    return str(caught.value)


def test_socket_is_for_owner_and_group_only(path: Path) -> None:
    """T01"""
    listening = ListeningPath(path)

    mode = path.stat().st_mode
    listening.close()

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_socket_leaves_only_its_lock_behind(path: Path) -> None:
    """T01"""
    before = os.umask(0o022)
    os.umask(before)

    ListeningPath(path).close()

    assert [entry.name for entry in path.parent.iterdir()] == ["hub.sock.lock"]
    assert os.umask(before) == before


def test_socket_is_never_reachable_under_its_name_before_its_mode_is_right(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T01"""
    modes: list[int] = []
    rename = os.rename

    def watch(source: Path, target: Path) -> None:
        assert not target.exists()
        modes.append(stat.S_IMODE(os.lstat(source).st_mode))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watch)
    ListeningPath(path).close()

    assert modes == [0o660]


def test_socket_of_a_dead_process_is_replaced(path: Path) -> None:
    """T02"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))

    ListeningPath(path).close()

    assert not path.exists()


def test_socket_of_a_living_process_is_left_alone(path: Path) -> None:
    """T02"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as living:
        living.bind(str(path))
        living.listen()

        assert "another process listens" in refusal(path)

    assert path.is_socket()


def test_second_hub_on_a_path_is_refused_and_the_first_stays(path: Path) -> None:
    """T02 F48"""
    first = ListeningPath(path)

    assert "another process serves" in refusal(path)
    assert path.is_socket()
    first.close()


def test_plain_file_at_the_path_is_left_alone(path: Path) -> None:
    """T02"""
    path.write_text("precious")

    assert "no socket" in refusal(path)
    assert path.read_text() == "precious"


def test_symbolic_link_at_the_path_is_left_alone(path: Path, tmp_path: Path) -> None:
    """T02"""
    target = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(target))
    path.symlink_to(target)

    assert "no socket" in refusal(path)
    assert path.is_symlink()
    assert target.is_socket()


def test_symbolic_link_at_the_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    """T02"""
    (tmp_path / "hub.sock.lock").symlink_to(tmp_path / "victim")

    assert "cannot open" in refusal(path)
    assert not (tmp_path / "victim").exists()


def test_directory_that_everybody_may_write_is_refused(path: Path) -> None:
    """T02"""
    path.parent.chmod(0o777)

    assert "everybody" in refusal(path)


def test_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "no usable directory" in refusal(tmp_path / "none" / "hub.sock")


def test_path_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    assert "at most 107 bytes" in refusal(tmp_path / ("x" * 120))


def test_path_that_somebody_else_took_over_is_not_removed(path: Path) -> None:
    """T02"""
    listening = ListeningPath(path)
    path.unlink()
    path.write_text("not ours")

    listening.close()

    assert path.read_text() == "not ours"


def test_path_after_a_refusal_can_be_taken(path: Path) -> None:
    path.write_text("in the way")
    refusal(path)
    path.unlink()

    ListeningPath(path).close()


def test_socket_that_another_process_has_made_stays_in_its_place(path: Path) -> None:
    """What systemd makes, systemd removes."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()

    InheritedPath(path, listening).close()

    assert [entry.name for entry in path.parent.iterdir()] == ["hub.sock"]
    assert listening.fileno() == -1
