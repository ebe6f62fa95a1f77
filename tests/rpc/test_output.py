"""rpc/output.py: what waits for one client, and how much of it."""

from __future__ import annotations

from ocpphub.rpc.output import CHUNK_BYTES, Output, Unread

LIMIT = 1000


def lost(first: int, last: int) -> bytes:
    return b"lost %d-%d\n" % (first, last)


def paused() -> Output:
    output = Output(LIMIT, Unread())
    output.writable = False
    return output


def read(output: Output) -> bytes:
    output.writable = True
    text = b""
    while chunk := output.take():
        text += chunk
    return text


def test_output_while_the_client_reads_joins_a_turn_into_one_write() -> None:
    output = Output(LIMIT, Unread())
    output.answer(b"a\n")
    output.event(b"b\n", 1, 1, lost)
    output.state("key", b"c\n")

    assert output.take() == b"a\nb\nc\n"
    assert output.take() == b""
    assert output.empty


def test_output_of_a_paused_client_keeps_the_order() -> None:
    output = paused()
    output.answer(b"a\n")
    output.event(b"b\n", 1, 1, lost)
    output.answer(b"c\n")

    assert output.take() == b""
    assert read(output) == b"a\nb\nc\n"


def test_output_of_a_state_keeps_the_latest_at_the_end() -> None:
    """T05"""
    output = paused()
    output.state("x", b"x1\n")
    output.state("y", b"y1\n")
    output.state("x", b"x2\n")

    assert read(output) == b"y1\nx2\n"


def test_output_of_many_states_never_overruns() -> None:
    """T05"""
    output = paused()
    for number in range(10_000):
        output.state("x", b"%d\n" % number)

    assert not output.overrun
    assert read(output) == b"9999\n"


def test_output_of_too_many_events_drops_the_newest_and_says_which() -> None:
    """T05"""
    output = paused()
    for seq in range(1, 8):
        output.event(b"e" * 99 + b"\n", seq, 1, lost)

    assert not output.overrun
    assert read(output) == (b"e" * 99 + b"\n") * 5 + b"lost 6-7\n"


def test_output_announces_losses_of_each_subscription_for_itself() -> None:
    output = paused()
    for seq in range(1, 6):
        output.event(b"e" * 99 + b"\n", seq, 1, lost)
    output.event(b"x\n", 6, 1, lost)
    output.event(b"x\n", 6, 2, lost)

    assert read(output).endswith(b"lost 6-6\nlost 6-6\n")


def test_output_after_a_loss_was_told_takes_events_again() -> None:
    output = paused()
    for seq in range(1, 8):
        output.event(b"e" * 99 + b"\n", seq, 1, lost)
    read(output)
    output.event(b"new\n", 8, 1, lost)

    assert output.take() == b"new\n"


def test_output_of_too_many_answers_overruns() -> None:
    """T05"""
    output = paused()
    for _ in range(10):
        output.answer(b"a" * 100)
    assert not output.overrun

    output.answer(b"a")

    assert output.overrun


def test_output_larger_than_the_limit_is_allowed_for_a_state_and_replaces_itself() -> None:
    output = paused()
    output.state("x", b"1" * (LIMIT + 1))
    output.state("x", b"2" * (LIMIT + 1))

    assert not output.overrun
    assert read(output) == b"2" * (LIMIT + 1)


def test_output_larger_than_the_limit_as_a_waiting_answer_overruns() -> None:
    output = paused()
    output.answer(b"1" * (LIMIT + 1))

    assert output.overrun


def test_output_that_has_waited_leaves_in_chunks_while_the_client_reads() -> None:
    output = Output(10 * CHUNK_BYTES, Unread())
    output.writable = False
    for _ in range(40):
        output.answer(b"a" * (CHUNK_BYTES // 10))
    output.writable = True

    assert len(output.take()) <= CHUNK_BYTES + CHUNK_BYTES // 10
    output.writable = False
    assert output.take() == b""
    assert not output.empty


def test_output_counts_what_all_clients_leave_unread() -> None:
    unread = Unread()
    one, other = Output(LIMIT, unread), Output(LIMIT, unread)
    one.writable = other.writable = False
    one.answer(b"aaa")
    other.state("x", b"bb")
    other.state("x", b"b")
    assert unread.bytes == 4

    one.close()
    read(other)

    assert unread.bytes == 0
