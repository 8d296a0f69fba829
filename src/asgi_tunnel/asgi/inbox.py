"""The queue behind ``receive()``.

An event that is there is returned without a turn of the event loop (Starlette asks for a
disconnect inside an already cancelled scope), and nothing is taken before a wait (a cancelled
``receive()`` loses nothing).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .types import Message

_PATIENCE: Final = 32
"""Repeats of the last event answered at once.  After them each costs a turn of the loop, so that
an app that calls ``receive()`` in a circle cannot stop the tunnel's heartbeats."""


class Inbox:
    """Messages for the app, then the last one for ever."""

    __slots__ = ("_last", "_messages", "_repeats", "_waiters")

    def __init__(self) -> None:
        self._messages: deque[tuple[Message, int]] = deque()
        self._last: Message | None = None
        self._repeats = 0
        self._waiters: list[asyncio.Future[None]] = []

    def put(self, message: Message, cost: int = 0) -> None:
        """Add a message; ``cost`` is handed out with it."""
        if self._last is None:
            self._messages.append((message, cost))
            self._wake()

    def put_last(self, message: Message, *, drop: bool = False) -> int:
        """Add the message that every later call gets.

        Args:
            message: The first one given stays.
            drop: Forget the messages before it.

        Returns:
            The cost of what was dropped.
        """
        dropped = 0
        if drop and self._messages:
            dropped = sum(cost for _, cost in self._messages)
            self._messages.clear()
        if self._last is None:
            self._last = message
        self._wake()
        return dropped

    async def get(self) -> tuple[Message, int]:
        """Return the next message and its cost.  Cancelling it loses nothing."""
        while True:
            if self._messages:
                return self._messages.popleft()
            if self._last is not None:
                self._repeats += 1
                if self._repeats > _PATIENCE:
                    await asyncio.sleep(0)
                return dict(self._last), 0
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Gate:
    """Holds senders back while the stream's outbox is full."""

    __slots__ = ("_is_open", "_waiters")

    def __init__(self) -> None:
        self._is_open = True
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_open(self) -> bool:
        """Whether :meth:`wait` returns at once."""
        return self._is_open

    def shut(self) -> None:
        """Make senders wait."""
        self._is_open = False

    def open(self) -> None:
        """Let every waiting sender go on."""
        self._is_open = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Return when the gate is open.  Cancelling it loses nothing."""
        while not self._is_open:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
