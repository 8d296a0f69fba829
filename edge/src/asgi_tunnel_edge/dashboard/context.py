"""What pages of the dashboard may look at: the running edge, its store, and their own tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..questions import LiveEdge, answer
from ..questions.together import answer_together
from .live import Moment
from .problem import PageError

if TYPE_CHECKING:
    from ..history import History
    from ..inspection import Inspectors
    from ..observers.limited import LimitedVisitors
    from ..observers.traces import TraceRing
    from ..settings.config import EdgeConfig
    from ..shown import ShownCertificates
    from ..storage import SnapshotWatcher
    from ..supervision import ParentLink
    from ..tokens import Snapshot, TokenRecord
    from .audit import AuditLog
    from .csrf import CsrfGuard
    from .live import Live
    from .page import Page
    from .roles import Viewer
    from .site import Site
    from .watching import Watches

__all__ = ["DashboardContext", "NavigationSection"]


MAX_PAGES: Final = 10
"""Replies about tunnels that one look asks for, of 200 sessions each: 30 ms of the event loop, in
ten pieces. An edge with more shows the oldest 2,000."""


class NavigationSection(NamedTuple):
    """Entries below one heading."""

    title: str
    pages: list[Page]


@dataclass(kw_only=True, slots=True)
class DashboardContext:
    """See the module."""

    config: EdgeConfig
    edge: Callable[[], LiveEdge]  #: the running one, as questions see it
    watcher: SnapshotWatcher
    certificates: ShownCertificates | None  #: None: TLS is off
    visitor_url: Callable[[str], str]  #: where visitors find a hostname
    site: Site
    csrf: CsrfGuard
    audit: AuditLog
    live: Live
    history: History
    inspectors: Inspectors  #: of the apps' sides
    watches: Watches  #: those of them that pages watch
    traces: TraceRing  #: where the time of the newest exchanges went
    limited: LimitedVisitors
    pages: Sequence[Page] = ()
    link: ParentLink | None = None  #: asks the other serving processes; None: there are none

    @property
    def snapshot(self) -> Snapshot:
        """What the store has now."""
        return self.edge().directory.snapshot

    async def ask(self, command: str, **values: Any) -> dict[str, Any]:
        """Ask the running edge, as commands do over the control socket (docs/reference/control.md).

        Cancelling it loses nothing.

        Raises:
            PageError: It has no answer, and says why.
        """
        request, link = {"command": command, **values}, self.link
        if link is None:
            reply = await answer(self.edge(), request)
        else:
            reply = await answer_together(
                self.edge(), request, link.ask_others, worker=link.worker, workers=link.workers
            )
        if not reply["ok"]:
            raise PageError(400, "This cannot be shown", f"{reply['error']}.")
        return reply

    async def connected_elsewhere(self) -> set[str]:
        """Return the ids of tokens that have a tunnel to another serving process of this edge.

        Cancelling it loses nothing.
        """
        if self.link is None:
            return set()
        found = await self.link.ask_others({"command": "connected"})
        return {str(token) for one in found for token in one.get("tokens", ())}

    async def moment(self) -> Moment:
        """Return what the edge does now, for a page that is opened. Cancelling it loses nothing."""
        return await self.look(None)

    async def look(self, last: Moment | None) -> Moment:
        """Return what the edge does now, with what it has counted since the look before.

        Cancelling it loses nothing.
        """
        now = time.time()
        traffic, found = await self.ask("traffic"), await self.ask("tunnels")
        sessions = found["sessions"]
        for _ in range(MAX_PAGES - 1):
            if found["more"] is None:
                break
            await asyncio.sleep(0)  # others have their turn between two of them
            found = await self.ask("tunnels", after=found["more"])
            sessions += found["sessions"]
        return Moment(
            at=now,
            seconds=0.0 if last is None else now - last.at,
            traffic=traffic,
            before={} if last is None else last.traffic,
            sessions=tuple(sessions),
        )

    def tokens(self, viewer: Viewer) -> list[TokenRecord]:
        """Return the tokens that somebody may see, by name; those that were revoked come last."""
        found = [one for one in self.snapshot.tokens.values() if viewer.may_see(one.id)]
        return sorted(found, key=lambda one: (one.revoked, one.name))

    def token(self, viewer: Viewer, wanted: str) -> TokenRecord:
        """Return a token by its id or name; the one that has the name now, or had it last.

        Raises:
            PageError: There is none, or it is somebody else's: nobody learns which.
        """
        for one in self.tokens(viewer):
            if wanted in (one.id, one.name):
                return one
        text = "No token of this id or name is yours, or it was removed."
        raise PageError(404, "There is no such tunnel", text)

    def done(self, word: str) -> str:
        """Return the sentence of a word that a page has for what was done; empty: none has it."""
        return next((page.done[word] for page in self.pages if word in page.done), "")

    def navigation(self, viewer: Viewer) -> list[NavigationSection]:
        """Return the entries that somebody may open, in their order."""
        sections: dict[str, list[Page]] = {}
        for page in self.pages:
            if page.title and viewer.role >= page.role:
                sections.setdefault(page.section, []).append(page)
        return [NavigationSection(title, pages) for title, pages in sections.items()]
