"""What ends an exchange with a service early: the visitor leaves, or the service is too slow.

=====  ==========================================  ====================
clock  runs                                        for
=====  ==========================================  ====================
WATCH  from the request on, once                   ``WATCH_DELAY``
READ   from the end of the request to the head of  ``response_timeout``
       the response; while a piece of the body     ``idle_timeout``
       is waited for
WRITE  while the service takes no more             ``response_timeout``
=====  ==========================================  ====================

When WATCH has run out, a task begins to wait for the visitor's leaving, and the other two count
from then on: most exchanges are over before.  When one of them runs out, the connection is closed.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from ...asgi.types import Receive
from ..service import ProxyTarget
from .connection import ServiceConnection
from .deadlines import TOLERANCE, Deadlines
from .errors import BodyLengthError
from .upload import Upload

WATCH_DELAY: Final = 0.02
"""Seconds before an exchange gets a task of its own that notices when the visitor leaves."""


class Watch:
    """Watches one exchange on one connection.

    Args:
        connection: Closed when the exchange ends early.
        deadlines: Of the service.
        target: Its timeouts.
        receive: Of the call.

    Attributes:
        is_gone: The visitor left.
        is_timed_out: The service was too slow.
        is_complete: The whole response is there: nothing ends the exchange early any more.
    """

    __slots__ = (
        "_connection",
        "_deadlines",
        "_has_head",
        "_loop",
        "_read_due",
        "_receive",
        "_target",
        "_task",
        "_write_due",
        "is_complete",
        "is_gone",
        "is_timed_out",
    )

    def __init__(
        self,
        connection: ServiceConnection,
        deadlines: Deadlines,
        target: ProxyTarget,
        receive: Receive,
    ) -> None:
        self._connection = connection
        self._deadlines = deadlines
        self._target = target
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._read_due = math.inf
        self._write_due = math.inf
        self._has_head = False
        self.is_gone = False
        self.is_timed_out = False
        self.is_complete = False

    def begin(self, upload: Upload | None) -> None:
        """The request's head was written; None: it is the whole request."""
        if upload is None or upload.is_sent:
            now = self._loop.time()
            self._read_due = now + (self._target.response_timeout or math.inf)
            self._deadlines.set(self, now + WATCH_DELAY)
        else:
            self._task = self._loop.create_task(self._send(upload))

    def end(self) -> None:
        """The exchange is over."""
        self._deadlines.clear(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # -- the service -------------------------------------------------------------------------

    def note_head(self) -> None:
        """The head of the response has come."""
        self._has_head = True
        self._read_due = math.inf

    async def wait_body(self) -> None:
        """Wait for a piece of the body; errors as :meth:`.ServiceConnection.wait`."""
        if not self._target.idle_timeout:
            await self._connection.wait()
            return
        self._read_due = self._start(self._target.idle_timeout)
        try:
            await self._connection.wait()
        finally:
            self._read_due = math.inf

    async def drain(self) -> None:
        """Wait until the service takes more of the request, or its connection is closed."""
        self._write_due = self._start(self._target.response_timeout)
        try:
            await self._connection.drain()
        finally:
            self._write_due = math.inf

    def on_due(self, now: float) -> None:
        """One of the clocks has run out, or was stopped meanwhile."""
        if self._task is None:
            self._task = self._loop.create_task(self._wait_gone())
        due = min(self._read_due, self._write_due)
        if due <= now + TOLERANCE:
            if not self.is_complete:
                self.is_timed_out = True
                self._connection.close()
        elif due < math.inf:
            self._deadlines.set(self, due)

    def _start(self, seconds: float) -> float:
        """Return when a clock runs out that starts now."""
        if not seconds:
            return math.inf
        due = self._loop.time() + seconds
        if self._task is not None:
            self._deadlines.set(self, min(due, self._read_due, self._write_due))
        return due

    # -- the visitor -------------------------------------------------------------------------

    async def _send(self, upload: Upload) -> None:
        """Send the rest of the body, then wait for the visitor's leaving."""
        try:
            is_sent = await upload.send_rest(self._connection, self.drain)
        except BodyLengthError:
            self._connection.close()  # a 502, or a cut
            return
        if not is_sent:
            self._leave()
            return
        if not self._has_head:
            self._read_due = self._start(self._target.response_timeout)
        await self._wait_gone()

    async def _wait_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        """The visitor left: the service learns it from the end of its connection."""
        if not self.is_complete:
            self.is_gone = True
            self._connection.close()
