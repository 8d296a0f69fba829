"""A serving process that was replaced; one that starts and serves: test_main, test_generation."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_tunnel_edge.parent.loop import Loop
from asgi_tunnel_edge.parent.worker import State, Worker


@pytest.fixture
def loop() -> Iterator[Loop]:
    """One, and the wakeup descriptor of the test run as it was."""
    wakeup = signal.set_wakeup_fd(-1)
    yield Loop()
    signal.set_wakeup_fd(wakeup)


@pytest.fixture
def worker(loop: Loop) -> Iterator[Worker]:
    """A process that does not react."""
    one = Worker(loop, 1, on_message=lambda *_: None, on_end=lambda *_: None)
    one.start(["sleep", "600"], os.environ, {})
    yield one
    if one.state is not State.ENDED:
        one.signal(signal.SIGKILL)
        os.waitpid(one.pid, 0)


def end_of(worker: Worker, loop: Loop) -> int:
    """Turn until its process has ended; return the signal."""
    found = (0, 0)
    while not found[0]:
        loop.turn()
        found = os.waitpid(worker.pid, os.WNOHANG)
        loop.call_later(0.01, lambda: None)
    code = os.waitstatus_to_exitcode(found[1])
    worker.ended(code)
    return -code


def test_one_that_does_not_end(worker: Worker, loop: Loop) -> None:
    """It has its seconds, and is killed then."""
    worker.leave(0.05)
    assert worker.state is State.LEAVING
    assert end_of(worker, loop) == signal.SIGKILL


def test_its_time_goes_on_with_another_parent(worker: Worker, loop: Loop) -> None:
    """What another version of the parent is told has the moment at which it has to end."""
    worker.leave(3600.0)
    record = worker.record
    assert record is not None
    channel, theirs = socket.socketpair()
    record |= {"channel": channel.detach(), "ends_at": record["ends_at"] - 3600.0}
    calls = {"on_message": lambda *_: None, "on_end": lambda *_: None}
    again = Worker.resumed(loop, record, **calls)
    assert end_of(again, loop) == signal.SIGKILL
    worker.ended(-signal.SIGKILL)
    theirs.close()


def test_one_that_cannot_start(loop: Loop) -> None:
    """Nothing stays open of it."""
    before = open_handles()
    one = Worker(loop, 1, on_message=lambda *_: None, on_end=lambda *_: None)
    with pytest.raises(FileNotFoundError):
        one.start(["no-such-program"], os.environ, {}, is_trial=True)
    assert open_handles() == before


def open_handles() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
