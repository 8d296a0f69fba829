"""The queue behind ``receive()``.

An event that is there is returned without a turn of the event loop (Starlette asks for a
disconnect inside an already cancelled scope), up to ``TURN_MESSAGES`` in a row, and nothing is
taken before a wait (a cancelled ``receive()`` loses nothing).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .types import Message

_PATIENCE: Final = 32
"""Repeats of the last event answered at once.  After them each costs a turn of the loop, so that
an app that calls ``receive()`` in a circle cannot stop the tunnel's heartbeats."""


TURN_MESSAGES: Final = 64
"""Messages that one call's ``receive()`` returns before the loop has a turn: a visitor that sends
tiny ones as fast as it can would stop all others, as long as a window's worth is there."""


class Inbox:
    """Messages for the app, then the last one for ever."""

    __slots__ = ("_last", "_messages", "_repeats", "_taken", "_waiters")

    def __init__(self) -> None:
        self._messages: deque[tuple[Message, int]] = deque()
        self._last: Message | None = None
        self._repeats = 0
        self._taken = 0  # messages since the loop had a turn for certain
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def has_messages(self) -> bool:
        """Whether the app has not yet taken all that came before the last one."""
        return bool(self._messages)

    def put(self, message: Message, flow_controlled_size: int = 0) -> None:
        """Add a message; ``flow_controlled_size`` is handed out with it."""
        if self._last is None:
            self._messages.append((message, flow_controlled_size))
            self._wake()

    def put_last(self, message: Message, *, drop: bool = False) -> int:
        """Add the message that every later call gets.

        Args:
            message: The first one given stays.
            drop: Forget the messages before it.

        Returns:
            The flow-controlled size of what was dropped.
        """
        dropped = 0
        if drop and self._messages:
            dropped = sum(flow_controlled_size for _, flow_controlled_size in self._messages)
            self._messages.clear()
        if self._last is None:
            self._last = message
        self._wake()
        return dropped

    async def get(self) -> tuple[Message, int]:
        """Return the next message and its flow-controlled size.  Cancelling it loses nothing."""
        while True:
            if self._messages:
                if self._taken >= TURN_MESSAGES:
                    self._taken = 0
                    await asyncio.sleep(0)
                    continue
                self._taken += 1
                return self._messages.popleft()
            if self._last is not None:
                self._repeats += 1
                if self._repeats > _PATIENCE:
                    await asyncio.sleep(0)
                return dict(self._last), 0
            self._taken = 0
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


async def wait_until_set(event: asyncio.Event) -> None:
    """Return when the event is set, still, as the waiter runs.  Cancelling it loses nothing.

    ``Event.wait`` alone also returns when another task has cleared the event meanwhile: of several
    senders that wait for room, the first one may have filled it again.
    """
    while not event.is_set():
        await event.wait()
