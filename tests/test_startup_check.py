"""What others can open keeps a hub from starting, and says so."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocpphub import daemon, startup_check
from ocpphub.config import Settings
from ocpphub.errors import LocalError
from tests import builders
from tests.hub_doubles import hub_settings

FILES = ("hub.db", "hub.db-wal", "hub.db.copy", "hub.lock", "hub.reserve", "security.heads")
BELOW = ("security/CP1.jsonl", "log/ocpphub.log", "transfers/abc")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A hub that has run before, with two secrets."""
    state = tmp_path / "state"
    for name in ("", "security", "log", "transfers"):
        (state / name).mkdir(mode=0o700)
    for path in (*(state / name for name in (*FILES, *BELOW)), tmp_path / "key", tmp_path / "client.key"):
        path.touch(0o600)
    files: dict[str, Any] = {"authorization_key_file": tmp_path / "key", "client_key_file": tmp_path / "client.key"}
    point = builders.settings()
    return hub_settings(replace(point, security=replace(point.security, **files)), directory=tmp_path)


def test_private_files_are_no_obstacle(settings: Settings) -> None:
    """T28: nor are a first start, sockets, links and what an operator keeps there."""
    state = settings.hub.state_directory
    (state / "hub.toml").touch(0o644)
    (state / "log" / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(state / "log.sock"))
        startup_check.require_private(settings)
    startup_check.require_private(hub_settings(directory=state / "nowhere"))


@pytest.mark.parametrize("name", [*FILES, *BELOW, "", "security", "log", "transfers", "../key", "../client.key"])
@pytest.mark.parametrize("bits", [0o040, 0o004, 0o020])
def test_open_file_is_refused_with_what_to_do(settings: Settings, name: str, bits: int) -> None:
    """T28, S-158: reading or writing, of a group or of everybody."""
    path = Path(os.path.normpath(settings.hub.state_directory / name))
    mode = "0700" if path.is_dir() else "0600"
    path.chmod(int(mode, 8) | bits)
    with pytest.raises(LocalError) as caught:
        startup_check.require_private(settings)
    assert caught.value.code == "invalid_state"
    assert caught.value.message == f"{path} is open to other users"
    assert caught.value.hint == f"chmod {mode} {path}"
    assert path.stat().st_mode & bits, "it is the operator who closes it"


def test_directory_behind_a_link_is_looked_at(settings: Settings, tmp_path: Path) -> None:
    """T28: the mode of a link says nothing."""
    state = settings.hub.state_directory
    (tmp_path / "link").symlink_to(state)
    linked = replace(settings, hub=replace(settings.hub, state_directory=tmp_path / "link"))
    startup_check.require_private(linked)
    state.chmod(0o777)
    with pytest.raises(LocalError, match="is open to other users") as caught:
        startup_check.require_private(linked)
    assert caught.value.hint == f"chmod 0700 {state}"


def test_many_open_files_are_named_shortly(settings: Settings) -> None:
    """T28: one message for all of them."""
    for number in range(20):
        path = settings.hub.state_directory / "security" / f"{number:02}.jsonl"
        path.touch()
        path.chmod(0o644)
    with pytest.raises(LocalError, match="and 10 more are open to other users"):
        startup_check.require_private(settings)


def test_daemon_does_not_start_with_an_open_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T28: exit code 78; nothing is made or served."""
    monkeypatch.setattr(daemon, "prepare_process", lambda settings: None)
    (settings.hub.state_directory / "hub.db").chmod(0o640)
    assert daemon.main(settings) == daemon.BAD_CONFIGURATION
    assert "hub.db is open to other users" in caplog.text
    assert not settings.hub.socket.exists()


@pytest.mark.parametrize(("mode", "count"), [(0o750, 0), (0o770, 1), (0o757, 1), (0o1777, 1)])
def test_directory_of_a_socket_that_others_may_write_to_is_a_warning(
    settings: Settings, tmp_path: Path, mode: int, count: int
) -> None:
    """T01: each directory once."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    points = (replace(settings.charge_points[0], socket=folder / "cp1.sock"),)
    shared = replace(settings, hub=replace(settings.hub, socket=folder / "hub.sock"), charge_points=points)
    found = list(startup_check.warnings(shared))
    assert len(found) == count
    assert all(f"chmod go-w {folder}" in text for text in found)


def test_directory_of_a_socket_that_is_not_there_is_no_warning(settings: Settings, tmp_path: Path) -> None:
    """T01: the start itself says that."""
    shared = replace(settings, hub=replace(settings.hub, socket=tmp_path / "nowhere" / "hub.sock"))
    assert list(startup_check.warnings(shared)) == []
