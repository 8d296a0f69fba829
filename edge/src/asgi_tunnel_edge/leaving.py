"""How an edge ends: because it is told to, or because another process serves in its place.

``server`` closes the listening sockets before, and takes the rest apart behind it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.codes import DrainReason

if TYPE_CHECKING:
    from asgi_tunnel.session import Session

    from .connections.table import ConnectionTable
    from .context import EdgeContext
    from .directory import LocalDirectory

__all__ = ["SPREAD", "STOP_GRACE", "Ending", "Leaving"]

STOP_GRACE: Final = 10.0
"""Seconds that exchanges in progress get when the edge stops."""

SPREAD: Final = 0.5
"""Seconds that apps are asked to wait, at the most, before they dial again."""

CLOSE_GRACE: Final = 1.0
"""Seconds that WebSockets have for their close when the time of a replaced process is over."""

LAST_ARRIVALS: Final = 1.0
"""Seconds in which requests are served that were on their way when an edge with others beside it
stops: over a connection that was accepted, or is idle. Visitors go to another edge meanwhile; what
is closed under their POST they must not send again."""

LAST_MOMENTS: Final = 1.0
"""Seconds before the end in which nothing begins that another node has sent: it has that served
elsewhere, where it is not cut in the middle. What began before is over by then, or goes on for
long, as event streams do."""

_POLL: Final = 0.02
_LOOK: Final = 0.1  # seconds between two looks of a process that was replaced


class Ending:
    """What asks for the end of an edge: a signal, or its parent; then a second signal.

    Args:
        is_led: There is a parent, which says when a second signal has come: a service manager sends
            the first one to both processes, and the parent passes it on.

    Attributes:
        first: It ends.
        second: It ends now.
        drain: Seconds for what is in progress, where another process has taken its place.
    """

    def __init__(self, *, is_led: bool = False) -> None:
        self._is_led = is_led
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.drain: float | None = None
        self.deadline = math.inf  # monotonic
        self._signals = 0

    def on_signal(self) -> None:
        """End; a process that was replaced already gets no more time than one that stops."""
        self._signals += 1
        self.deadline = min(self.deadline, time.monotonic() + STOP_GRACE)
        self.first.set()
        if self._signals > 1 and not self._is_led:
            self.second.set()

    def retire(self, seconds: float) -> None:
        """End within ``seconds``: another process serves."""
        if not self.first.is_set():
            self.drain = seconds
            self.deadline = time.monotonic() + seconds
            self.first.set()


class Leaving:
    """Lets what is in progress end.

    Args:
        context: Its switches are set.
        directory: Has the sessions.
        table: Has the visitors' connections.
        is_arriving: Whether connections were accepted that are in neither yet.
        is_owing: Whether bytes of responses are here that other nodes have not taken: an app has
            sent all of one, and its visitor, at the other node, reads slowly.
        has_others: Whether apps have another edge to go to, where this one stops.

    Attributes:
        sessions: Those that were asked to go elsewhere.
    """

    def __init__(
        self,
        context: EdgeContext,
        directory: LocalDirectory,
        table: ConnectionTable,
        *,
        is_arriving: Callable[[], bool],
        is_owing: Callable[[], bool],
        has_others: bool = False,
    ) -> None:
        self._context = context
        self._directory = directory
        self._table = table
        self._is_arriving = is_arriving
        self._is_owing = is_owing
        self._has_others = has_others
        self.sessions: list[Session] = []

    async def stop(self) -> None:
        """Apps dial again elsewhere, exchanges in progress end, idle connections are closed.

        Cancelling it loses nothing.
        """
        self._context.is_stopping = True
        self._drain(STOP_GRACE, DrainReason.SHUTDOWN if self._has_others else DrainReason.RESTART)
        deadline = time.monotonic() + STOP_GRACE
        if self._has_others:
            await asyncio.sleep(LAST_ARRIVALS)
        self._table.shut_down()
        await self._wait(deadline - LAST_MOMENTS)
        self._context.is_ending = True
        await self._wait(deadline)

    async def retire(self, ending: Ending) -> None:
        """The same in peace, until the deadline of ``ending``.

        A kept connection may send one more request, and hears with the response that it is closed;
        WebSockets and event streams go on as long as there is time. Cancelling it loses nothing.
        """
        self._context.is_replaced = self._context.is_stopping = True
        self._table.retire()
        self._drain(max(ending.deadline - time.monotonic(), 0.0))
        while (now := time.monotonic()) < ending.deadline:
            await asyncio.sleep(_LOOK)
            self._drain(ending.deadline - now)  # some have only come now
            is_busy = self._is_arriving() or bool(self._table.connections) or self._has_streams()
            self._context.is_ending = not is_busy or now > ending.deadline - LAST_MOMENTS
            if not (is_busy or self._is_owing()):
                break
        self._context.is_ending = True
        self._table.shut_down()
        await self._wait(time.monotonic() + CLOSE_GRACE)

    def _drain(self, grace: float, reason: DrainReason = DrainReason.RESTART) -> None:
        asked = set(self.sessions)
        new = [one.session for one in self._directory.entries if one.session not in asked]
        for number, session in enumerate(new):
            session.drain(reason, delay=SPREAD * number / len(new), grace=grace)
        self.sessions += new

    async def _wait(self, deadline: float) -> None:
        while time.monotonic() < deadline and (  # noqa: ASYNC110 - a look is cheap
            self._has_streams()
            or self._table.is_busy
            or (self._context.is_ending and self._is_owing())  # and what it owes becomes no more
        ):
            await asyncio.sleep(_POLL)

    def _has_streams(self) -> bool:
        return any(not one.is_over and one.connection.open_streams for one in self.sessions)
