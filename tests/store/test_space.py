"""Room on the disk: refused first, the reserve second, both back when there is room."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ocpphub.store.directory import RESERVE_NAME
from ocpphub.store.space import Space, room
from tests.store.stores import MIB


class Disk:
    """A disk whose free bytes the test says; the reserve takes its part of them."""

    def __init__(self, directory: Path, total: int = 1024 * MIB) -> None:
        self.directory = directory
        self.total = total
        self.free = total
        """Free bytes while there is no reserve."""

    def room(self, directory: Path) -> tuple[int, int]:
        path = self.directory / RESERVE_NAME
        return self.total, max(self.free - (path.stat().st_size if path.exists() else 0), 0)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def make_space(disk: Disk) -> Space:
    space = Space(disk.directory, room=disk.room)
    space.look()
    return space


def test_space_with_room_makes_the_reserve(disk: Disk) -> None:
    """Reliability 3.5."""
    space = make_space(disk)
    path = disk.directory / RESERVE_NAME
    assert (path.stat().st_size, path.stat().st_blocks * 512) == (64 * MIB, 64 * MIB)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not space.is_short


def test_space_that_runs_out_is_short_before_the_reserve_is_touched(disk: Disk) -> None:
    """F10; reliability 4.3.8."""
    space = make_space(disk)
    disk.free = (64 + 31) * MIB
    assert space.look()
    assert space.has_reserve
    disk.free = (64 + 7) * MIB
    assert space.look()
    assert not space.has_reserve


def test_space_is_no_longer_short_when_the_reserve_fits_again(disk: Disk) -> None:
    """F10: giving the reserve up makes room, which must not look like the end of the shortage."""
    space = make_space(disk)
    disk.free = 70 * MIB
    assert space.look()
    disk.free = 100 * MIB
    assert space.look()
    assert not space.has_reserve
    disk.free = 128 * MIB
    assert not space.look()
    assert space.has_reserve


def test_space_that_was_short_for_a_moment_needs_twice_the_threshold(disk: Disk) -> None:
    """F10: no flapping at the edge."""
    space = make_space(disk)
    disk.free = (64 + 31) * MIB
    assert space.look()
    disk.free = (64 + 33) * MIB
    assert space.look()
    disk.free = (64 + 64) * MIB
    assert not space.look()


def test_space_of_a_small_disk_keeps_a_small_reserve(tmp_path: Path) -> None:
    """F10 uses 64 MiB in all."""
    space = make_space(Disk(tmp_path, total=64 * MIB))
    assert (space.reserve_bytes, space.low_bytes) == (8 * MIB, 4 * MIB)
    assert space.has_reserve


def test_space_given_up_by_a_failed_write_is_short(disk: Disk) -> None:
    """Reliability 4.3.8: a write may be faster than the watch."""
    space = make_space(disk)
    assert space.give_up()
    assert space.is_short
    assert not space.give_up()


def test_space_too_small_for_a_reserve_at_start_is_not_short(disk: Disk) -> None:
    disk.free = 100 * MIB
    space = make_space(disk)
    assert not space.has_reserve
    assert not space.is_short


def test_space_that_cannot_be_asked_stays_as_it_was(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_space(disk)

    def fail(directory: Path) -> tuple[int, int]:
        raise OSError("gone")

    monkeypatch.setattr(space, "_room", fail)
    assert not space.look()
    assert not space.fits(1)


def test_space_fits_only_what_leaves_room(disk: Disk) -> None:
    space = make_space(disk)
    disk.free = (64 + 64 + 10) * MIB
    assert space.fits(10 * MIB)
    assert not space.fits(10 * MIB + 1)


def test_space_at_its_thresholds(disk: Disk) -> None:
    """F10: exactly 32 MiB are enough, and exactly 8 MiB still leave the reserve alone."""
    space = make_space(disk)
    disk.free = (64 + 32) * MIB
    assert not space.look()
    disk.free = (64 + 8) * MIB
    assert (space.look(), space.has_reserve) == (True, True)
    disk.free -= 1
    assert (space.look(), space.has_reserve) == (True, False)


def test_space_says_in_the_log_what_it_refuses_and_gives_up(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """Reaching a limit is never silent; a limit that lasts is told once."""
    space = make_space(disk)
    for disk.free in (70 * MIB, 70 * MIB, 1000 * MIB):
        space.look()
    told = [(record.levelname, record.message.split(" ", 1)[1]) for record in caplog.records]
    assert told == [
        ("ERROR", f"only {6 * MIB} bytes are free: no new sessions"),
        ("ERROR", "is given up"),
        ("WARNING", "there is room again"),
    ]


def test_room_is_that_of_the_file_system(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    total, free = room(tmp_path)
    assert total == usage.total
    assert abs(free - usage.free) < 1024 * MIB  # others use the disk meanwhile


def test_space_leaves_no_descriptor_open(disk: Disk) -> None:
    before = len(os.listdir("/proc/self/fd"))
    space = make_space(disk)
    for _ in range(3):
        space.give_up()
        space.look()
    assert len(os.listdir("/proc/self/fd")) == before
