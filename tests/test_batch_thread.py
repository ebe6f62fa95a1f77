"""A thread that writes for others: order, bound, end. No test waits for a clock."""

from __future__ import annotations

import threading

import pytest

from ocpphub import batch_thread
from ocpphub.batch_thread import BatchThread


class Sink:
    """What was written, batch by batch; ``fails`` raises once."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[int], int]] = []
        self.fails = False

    def __call__(self, items: list[int], lost: int) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("bug")
        self.batches.append((items, lost))

    @property
    def items(self) -> list[int]:
        return [item for items, _ in self.batches for item in items]


@pytest.fixture
def sink() -> Sink:
    return Sink()


def test_everything_is_written_in_order_by_another_thread(sink: Sink) -> None:
    """R1: what was put before the start too."""
    thread = BatchThread("t", sink)
    thread.put(1)
    thread.start()
    thread.put(2)
    thread.flush()
    assert sink.items == [1, 2]
    thread.put(3)
    thread.close()
    thread.close()
    assert sink.items == [1, 2, 3]


def test_what_finds_no_room_is_counted_and_told_with_the_next_batch(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1: a disk that hangs costs items, never memory."""
    monkeypatch.setattr(batch_thread, "MAX_WAITING", 3)
    thread = BatchThread("t", sink)
    for number in range(10):
        thread.put(number)
    thread.start()
    thread.close()
    assert sink.items == [0, 1, 2]
    assert sum(lost for _, lost in sink.batches) == 7


def test_batch_that_fails_does_not_end_the_thread(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """A bug costs one batch, and is told."""
    thread = BatchThread("t", sink)
    sink.fails = True
    thread.start()
    thread.put(1)
    thread.flush()
    thread.put(2)
    thread.close()
    assert sink.items == [2]
    assert "could not write" in caplog.text


def test_close_does_not_wait_for_a_disk_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """F09: the process must come to its end."""
    monkeypatch.setattr(batch_thread, "END_S", 0.01)
    hanging, goes_on = threading.Event(), threading.Event()

    def write(items: list[int], lost: int) -> None:
        hanging.set()
        goes_on.wait(30)

    thread = BatchThread("t", write)
    thread.start()
    thread.put(1)
    assert hanging.wait(30)
    thread.flush()
    thread.close()
    thread.put(2)
    goes_on.set()


def test_close_of_one_that_never_started_writes_nothing(sink: Sink) -> None:
    """A daemon that could not start leaves nothing."""
    thread = BatchThread("t", sink)
    thread.put(1)
    thread.flush()
    thread.close()
    assert sink.batches == []
