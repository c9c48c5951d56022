import socket

import pytest

from autotune.events import EpochReport, Outcome, Progress, Stop, decode, encode
from autotune.trial.channel import PipeChannel
from autotune.trial.messages import MAX_MESSAGE_BYTES, LineBuffer
from tests.reports import make_report
from tests.trial.listening import wait_until

PROGRESS = Progress(epoch=1, fraction=0.5, samples_per_second=1.0, data_wait_share=0.0)


def report(epoch: int) -> EpochReport:
    return make_report(epoch, metrics={f"val_metric_{number}": 0.5 for number in range(50)})


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def read_lines(near: socket.socket, *, count: int) -> list[bytes]:
    lines: list[bytes] = []
    buffer = LineBuffer()
    while len(lines) < count:
        lines += buffer.feed(near.recv(2**16))
    return lines


def test_reports_wait_for_a_coordinator_that_does_not_read_and_progress_is_dropped(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """A send that blocked would hold up training for as long as the coordinator is busy."""
    near, far = ends
    with near, far, PipeChannel(far) as channel:
        for epoch in range(1, 2001):  # several times what the socket holds
            channel.send(report(epoch))
        channel.send(PROGRESS)
        channel.send(report(2001))
        events = [decode(line) for line in read_lines(near, count=2001)]
        channel.send(PROGRESS)
        events += [decode(line) for line in read_lines(near, count=1)]
    assert [event.epoch for event in events if isinstance(event, EpochReport)] == list(range(1, 2002))
    assert [event for event in events if isinstance(event, Progress)] == [PROGRESS]


def test_stop_is_seen_after_it_was_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    stop = Stop(outcome=Outcome.PRUNED, reason="hopeless")
    with near, far, PipeChannel(far) as channel:
        assert channel.stop is None
        near.sendall(encode(stop) + b"\n")
        assert wait_until(lambda: channel.stop == stop)


def test_lines_are_put_together_from_pieces() -> None:
    lines = LineBuffer()
    assert [lines.feed(piece) for piece in (b"a", b"b\nc", b"\n\nd")] == [[], [b"ab"], [b"c", b""]]


def test_line_without_end_is_handed_out() -> None:
    """Else a trial that writes rubbish fills the coordinator's memory."""
    lines = LineBuffer()
    assert lines.feed(b"x" * (MAX_MESSAGE_BYTES + 1)) == [b"x" * (MAX_MESSAGE_BYTES + 1)]
    assert lines.feed(b"y\n") == [b"y"]
