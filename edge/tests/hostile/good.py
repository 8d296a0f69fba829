"""A good visitor beside an attack, timed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.harness import allowed

from .conftest import World
from .wire import request


@dataclass
class Good:
    """A visitor that does nothing wrong, and how long each of its requests took."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def p99(self) -> float:
        """The time that one in a hundred exceeds."""
        return sorted(self.seconds)[max(int(len(self.seconds) * 0.99) - 1, 0)]


@contextmanager
def good_visitor(world: World) -> Iterator[Good]:
    """One beside the attack, a request each 20 ms, until the block ends."""
    good, done, began = Good(), threading.Event(), time.monotonic()

    def visit() -> None:
        number = 0
        while not done.wait(0.02):
            number += 1
            target = b"/good/%d" % number
            start = time.perf_counter()
            try:
                with world.wire() as wire:
                    wire.send(request(b"GET", target, b"Connection: close"))
                    answer = wire.answer()
            except (OSError, AssertionError) as error:
                good.failed.append(repr(error))
            else:
                good.seconds.append(time.perf_counter() - start)
                if answer.body != target + b" 0":
                    good.failed.append(repr(answer))

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield good
    finally:
        done.set()
        thread.join()
    assert not good.failed
    assert good.seconds
    assert good.p99() < allowed(1.0, began)
