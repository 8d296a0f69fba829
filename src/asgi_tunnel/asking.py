"""Asks the edge for something over a session, and waits for its reply: bans, from handlers.

Who asks is in ``policy.bans``; a connector has one, and tells it of its sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from .errors import BanError
from .policy.bans import forget, register
from .session import Session

__all__ = ["MAX_ASKED", "Asking"]

MAX_ASKED: Final = 200
"""What the edge is asked at one time, over one tunnel: as many bans as it keeps for one token."""


class Asking:
    """See the module; an :class:`.policy.bans.Asker`.

    Args:
        sessions: Returns those of the connector.
    """

    def __init__(self, sessions: Callable[[], Iterable[Session]]) -> None:
        self._sessions = sessions
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[int, tuple[Session, asyncio.Future[dict[str, Any]]]] = {}
        self._last = 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """In which it runs; see :class:`.policy.bans.Asker`."""
        assert self._loop is not None, "start() comes first"
        return self._loop

    def start(self) -> None:
        """Take questions from now on."""
        self._loop = asyncio.get_running_loop()
        register(self)

    def stop(self) -> None:
        """Take no more; may be called twice."""
        forget(self)

    async def ask(self, values: dict[str, Any]) -> dict[str, Any]:
        """See :class:`.policy.bans.Asker`."""
        sessions = [one for one in self._sessions() if one.is_attached]
        if not sessions:
            raise BanError("not-connected", "the tunnel is not connected right now")
        session = next((one for one in sessions if one.takes_asks), None)
        if session is None:
            raise BanError("old-edge", "the edge is older than this, and takes no bans of apps")
        if len(self._asked) >= MAX_ASKED:
            raise BanError("busy", f"{MAX_ASKED} bans wait for the edge already")
        self._last = number = (self._last + 1) & 0xFFFFFFFF
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = session, reply
        try:
            session.ask(number, values)
            return await reply
        finally:
            self._asked.pop(number, None)

    def on_reply(self, session: Session, number: int, values: dict[str, Any]) -> None:
        """Hand what the edge says to who has asked."""
        asked = self._asked.get(number)
        if asked is not None and asked[0] is session and not asked[1].done():
            asked[1].set_result(values)

    def end(self, session: Session) -> None:
        """A session is over: what it was asked gets no reply."""
        for asked, reply in self._asked.values():
            if asked is session and not reply.done():
                reply.set_exception(BanError("not-connected", "the tunnel was lost meanwhile"))
