"""What the edge does with a session after its handshake: drain, a lost transport, the end.

The handshake is in :mod:`.tunnels`, which hands each new session over; which hostnames a session
serves is in :mod:`..directory`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from asgi_tunnel.protocol.codes import DrainReason, GoawayCode

from ..counts import TunnelCounts
from ..shares.pool import FairPool

if TYPE_CHECKING:
    from asgi_tunnel.protocol.events import DrainReceived, SessionTerminated
    from asgi_tunnel.session import Session

    from ..directory import LocalDirectory

__all__ = ["STALL_CHECK", "SessionSupervisor", "Stallable", "printable"]

_log = logging.getLogger("asgi_tunnel_edge.admission")

STALL_CHECK: Final = 0.25
"""Seconds between two checks of the exchanges on a session whose transport was lost, and before
the first one: most sessions have a new transport by then."""


MAX_SUSPENDED: Final = 10_000
"""Sessions that wait for their connector: as many as there may be tunnels by default. Above it the
oldest of the token that has the most is ended."""


_FAULTS: Final = frozenset(
    {
        GoawayCode.PROTOCOL_ERROR,
        GoawayCode.FRAME_ERROR,
        GoawayCode.FLOW_CONTROL,
        GoawayCode.STREAM_STATE,
        GoawayCode.STREAM_LIMIT,
        GoawayCode.OVERLOAD,
    }
)
"""What an operator should see: the app's side broke a rule, or the edge had no room for it."""


@runtime_checkable
class Stallable(Protocol):
    """A stream's handler that can do without its session, or give up."""

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """The peer was not heard for ``lost_for`` seconds; a visitor waits ``hold`` seconds."""


class SessionSupervisor:
    """Follows the sessions of one edge from their handshake to their end.

    Args:
        directory: Loses the sessions that drain or end.
        hold_timeout: Seconds that a visitor waits for an app that is away.
        counts: Of lost and ended sessions; None: its own.
    """

    def __init__(
        self,
        directory: LocalDirectory,
        *,
        hold_timeout: float,
        counts: TunnelCounts | None = None,
    ) -> None:
        self._directory = directory
        self._counts = TunnelCounts() if counts is None else counts
        # What becomes due between two checks would be seen at the next one, too late.
        self._hold = hold_timeout - STALL_CHECK
        self._timers: dict[Session, asyncio.TimerHandle] = {}  # of sessions without a transport
        # Those without a transport, by token: they give way first where there is no room.
        self._suspended: FairPool[Session] = FairPool(
            MAX_SUSPENDED, (MAX_SUSPENDED,), can_go=_is_suspended
        )

    def watch(self, session: Session) -> None:
        """Follow a new session; called once, before its transport is read."""
        session.on_drain = self._on_drain
        session.on_suspended = self._on_suspended
        session.on_end = self._on_end

    def make_room(self, token_id: str | None = None) -> bool:
        """End the session that has been without a connection for longest.

        Args:
            token_id: Whose; None: of the token that has most of them.

        Returns:
            Whether there was one.
        """
        session = self._suspended.take(token_id)
        if session is None:
            return False
        session.terminate(GoawayCode.OVERLOAD, "its place was needed")
        return True

    def has_room(self) -> bool:
        """Whether :meth:`make_room` would find one; sessions that are back may be among them."""
        return bool(len(self._suspended))

    def resumed(self, session: Session) -> None:
        """A session has a connection again."""
        self._suspended.leave(session)

    def _on_suspended(self, session: Session) -> None:
        self._counts.lost += 1
        _log.info("tunnel %s has lost its connection", session.name)
        self._suspended.leave(session)
        entry = self._directory.entry_of(session)
        if entry is not None:
            victim = self._suspended.enter(session, (entry.token.id,)).victim
            if victim is not None:
                victim.terminate(GoawayCode.OVERLOAD, "its place was needed")
        self._schedule_check(session)

    def _schedule_check(self, session: Session) -> None:
        self._cancel_check(session)
        loop = asyncio.get_running_loop()
        self._timers[session] = loop.call_later(STALL_CHECK, self._check_stalled, session)

    def _cancel_check(self, session: Session) -> None:
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _check_stalled(self, session: Session) -> None:
        """Let the exchanges that need not stay on a lost session leave it."""
        del self._timers[session]
        if session.is_attached or session.is_over:
            return
        lost_for = asyncio.get_running_loop().time() - session.connection.last_receive
        for handler in list(session.handlers.values()):
            if isinstance(handler, Stallable):
                handler.check_stalled(lost_for, self._hold)
        if not session.is_over:
            self._schedule_check(session)

    def _on_drain(self, session: Session, event: DrainReceived) -> None:
        self._directory.draining(session, is_renewed=event.reason == DrainReason.RENEW)

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
        self._counts.ended += 1
        self._cancel_check(session)
        self._suspended.leave(session)
        self._directory.remove(session)
        reason = event.reason or (
            GoawayCode(event.code).name if event.code in set(GoawayCode) else str(event.code)
        )
        level = logging.INFO if event.by_peer or event.code not in _FAULTS else logging.WARNING
        _log.log(level, "tunnel %s has ended: %s", session.name, printable(reason))


def _is_suspended(session: Session) -> bool:
    return not session.is_attached and not session.is_over


def printable(text: str) -> str:
    """Escape what could start a line of the log or move a terminal's cursor (T38)."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape", "backslashreplace").decode("ascii")
