"""Failed commits over restarts: three within ten minutes, and none that a full disk hides."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ocpphub.store.directory import FAILURES_NAME
from ocpphub.store.failures import Failures

NOW_S = 1_800_000_000


def test_failures_make_degraded_after_three_within_ten_minutes(tmp_path: Path) -> None:
    """F09; reliability 4.3.7: each in a process of its own."""
    degraded = []
    for at_s in (NOW_S, NOW_S + 100, NOW_S + 590):
        failures = Failures(tmp_path)
        failures.note(at_s)
        degraded.append(Failures(tmp_path).is_degraded(at_s + 5))
    assert degraded == [False, False, True]
    assert not Failures(tmp_path).is_degraded(NOW_S + 601)


def test_failures_after_a_clock_step_still_count(tmp_path: Path) -> None:
    """F35: the clock was set back after they happened."""
    failures = Failures(tmp_path)
    for _ in range(3):
        failures.note(NOW_S)
    assert Failures(tmp_path).is_degraded(NOW_S - 300)


def test_failures_keep_the_last_three_only(tmp_path: Path) -> None:
    failures = Failures(tmp_path)
    size = (tmp_path / FAILURES_NAME).stat().st_size
    for at in range(10):
        failures.note(NOW_S + at)
    assert (tmp_path / FAILURES_NAME).stat().st_size == size > 0
    assert (tmp_path / FAILURES_NAME).read_bytes().split() == [b"1800000007", b"1800000008", b"1800000009"]


def test_failures_on_a_disk_that_fails_raise_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F09."""
    failures = Failures(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fail)
    failures.note(NOW_S)
    (tmp_path / FAILURES_NAME).write_bytes(b"garbage\xff")
    assert not Failures(tmp_path).is_degraded(NOW_S)


def test_failures_of_ten_minutes_ago_no_longer_count(tmp_path: Path) -> None:
    failures = Failures(tmp_path)
    for _ in range(3):
        failures.note(NOW_S)
    assert [failures.is_degraded(NOW_S + seconds) for seconds in (599, 600)] == [True, False]


def test_failures_are_synced_private_and_leave_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T28; reliability 4.3.7: the process may end right after."""
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = len(os.listdir("/proc/self/fd"))
    Failures(tmp_path).note(NOW_S)
    assert len(synced) == 2
    assert len(os.listdir("/proc/self/fd")) == before
    assert (tmp_path / FAILURES_NAME).stat().st_mode & 0o777 == 0o600
