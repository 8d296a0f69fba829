"""Which edges this one names to apps, in WELCOME: itself first, then others of its cluster.

Who the others are is the bus's to know; how apps choose among them is theirs. Asked by
``admission`` for each session, and by ``server`` twice a second, so that apps hear of a new one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .bus import Node
    from .directory import LocalDirectory
    from .route import SessionEntry

__all__ = ["MAX_NAMED", "REMEMBERED", "RENEWED_AT_ONCE", "KnownEdges"]

MAX_NAMED: Final = 8
"""Edges in one WELCOME, as many as an app keeps. Of more each edge names itself and those that
follow it in the order of their addresses, so that apps spread over all of them."""

REMEMBERED: Final = 600.0
"""Seconds in which an edge that is gone is still named: it restarts, and apps that look for it find
it. An app that does not reach it takes another one."""

RENEWED_AT_ONCE: Final = 100
"""Apps that are asked in half a second to come anew, when there is a new edge: at 1 to 2 ms for a
handshake a fifth of a core."""


class KnownEdges:
    """The edges of one cluster, as one of them knows them.

    Args:
        own: HOST:PORT where apps reach this edge and no other; empty: none is named.
        nodes: Returns the other nodes that are known now.
        is_secure: Whether apps dial with TLS.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        own: str,
        nodes: Callable[[], Sequence[Node]],
        *,
        is_secure: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = own
        self._nodes = nodes
        self._scheme = "wss" if is_secure else "ws"
        self._clock = clock
        self._seen: dict[str, float] = {}  # by address, when it was there last
        self._told: set[str] | None = None  # what apps that are connected know
        self._asked: deque[SessionEntry] = deque()  # to come anew

    @property
    def has_others(self) -> bool:
        """Whether another edge is there now."""
        return bool(self._own) and any(self._others())

    def _others(self) -> list[str]:
        return [one.public for one in self._nodes() if one.public and one.public != self._own]

    def urls(self) -> tuple[str, ...]:
        """Return what WELCOME names: this edge first; none where it does not know itself."""
        if not self._own:
            return ()
        now = self._clock()
        self._seen.update(dict.fromkeys(self._others(), now))
        self._seen = {one: at for one, at in self._seen.items() if now - at <= REMEMBERED}
        around = sorted([self._own, *self._seen])
        begin = around.index(self._own)
        named = (around[begin:] + around[:begin])[:MAX_NAMED]
        return tuple(f"{self._scheme}://{one}" for one in named)

    def look(self, directory: LocalDirectory) -> None:
        """Ask one session of each app for a fresh one where there is a new edge; a few at once."""
        named = set(self.urls())
        if self._told is None or named - self._told:
            if self._told is not None:
                one_each = {(one.token.id, one.instance): one for one in directory.entries}
                self._asked = deque(one_each.values())
            self._told = named
        for _ in range(min(RENEWED_AT_ONCE, len(self._asked))):
            self._asked.popleft().is_renewed = True  # the directory asks it
