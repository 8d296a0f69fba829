from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from asgi_tunnel_edge.parent.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """One, and the signals of the test run as they were."""
    before = signal.getsignal(signal.SIGUSR1)
    wakeup = signal.set_wakeup_fd(-1)
    yield Loop()
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGUSR1, before)


def test_timers(loop: Loop) -> None:
    """They are called in the order of their time, and not when they are cancelled."""
    called: list[str] = []
    loop.call_later(0.02, lambda: called.append("second"))
    loop.call_later(0.0, lambda: called.append("first"))
    loop.call_later(0.0, lambda: called.append("never")).cancel()
    while len(called) < 2:
        loop.turn()
    assert called == ["first", "second"]


def test_descriptors(loop: Loop) -> None:
    """Who watches one is called while it can be read; who has forgotten it is not."""
    reading, writing = os.pipe()
    called: list[bytes] = []
    loop.watch(reading, lambda: called.append(os.read(reading, 1)))
    os.write(writing, b"ab")
    loop.turn()
    loop.turn()
    assert called == [b"a", b"b"]
    loop.watch(writing, lambda: called.append(b"can be written"), writing=True)
    loop.turn()
    assert called[2:] == [b"can be written"]
    for one in (reading, writing):
        loop.forget(one)
        loop.forget(one)
        os.close(one)


def test_signals(loop: Loop) -> None:
    """They are called in a turn, not in the middle of something."""
    called: list[int] = []
    loop.on_signal(signal.SIGUSR1, lambda: called.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    assert not called
    assert loop.has_signals
    loop.turn()
    assert called == [1]
    assert not loop.has_signals
