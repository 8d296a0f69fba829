"""Which other nodes have sessions for one hostname: asked of the bus when a visitor waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import PeerError
from ..route import Route, Upstream
from .description import Description, digest_of
from .forwarded import ForwardedStream, Forwarding

if TYPE_CHECKING:
    from ..bus import Node
    from .link import PeerLink

__all__ = ["Holders", "Nodes"]

_log = logging.getLogger("asgi_tunnel_edge.peers")

MAX_HOLDERS: Final = 4
"""Other nodes that are used for one hostname at a time: an app has two or three connections."""

SEEK_EVERY: Final = 0.1
"""Seconds between two questions about one hostname that nobody has: visitors come all the time."""


class Nodes(Protocol):
    """What is asked of the other nodes; ``service`` has it."""

    forwarding: Forwarding  #: what all exchanges that are forwarded share

    @property
    def may_seek(self) -> bool:
        """Whether one more hostname may be sought."""

    def start_seeking(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a search; it ends with this node."""

    async def find(self, hostname: str) -> Sequence[Node]:
        """Return the nodes that hold a hostname or wildcard."""

    def link_to(self, node: Node) -> PeerLink:
        """Return the way to a node."""

    async def describe(self, link: PeerLink, route: Route) -> Description | None:
        """Ask a node about the app behind a route; None: it has none."""

    def described(self, route: Route, description: Description) -> None:
        """A node has said what an app wants."""


class Holders:
    """See the module; the ``elsewhere`` of one route.

    Args:
        nodes: The other ones.
        route: Of the hostname.
    """

    __slots__ = ("_asked_at", "_digests", "_nodes", "_task", "route")

    def __init__(self, nodes: Nodes, route: Route) -> None:
        self._nodes = nodes
        self.route = route
        # What each has described, in the order in which they were found. Most names never have any.
        self._digests: dict[PeerLink, bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked_at = -SEEK_EVERY

    @property
    def links(self) -> Sequence[PeerLink]:
        """The ways to them."""
        return () if self._digests is None else tuple(self._digests)

    def choose(self, avoid: Upstream | None) -> Upstream | None:
        """See :class:`..route.Elsewhere`: by the fewest streams, and first those that agree.

        An app whose processes want different things refused is served by those that said it last:
        what a node has not said would be refused there.
        """
        digests = self._digests
        if digests is None:
            return None
        wanted = digest_of(self.route.policy)
        best: PeerLink | None = None
        if len(digests) == 1:
            best = next(iter(digests))
            if not best.is_ready:
                return None
            return ForwardedStream(self._nodes.forwarding, self, best, wanted)
        avoided = avoid.link if isinstance(avoid, ForwardedStream) else None
        lowest = (True, True, 0)
        for link, digest in digests.items():
            if not link.is_ready or link.session is None:
                continue
            rank = (link is avoided, digest != wanted, link.session.connection.open_streams)
            if best is None or rank < lowest:
                best, lowest = link, rank
        if best is None:
            return None
        return ForwardedStream(self._nodes.forwarding, self, best, wanted)

    def seek(self) -> None:
        """See :class:`..route.Elsewhere`."""
        now = asyncio.get_running_loop().time()
        if now - self._asked_at >= SEEK_EVERY:
            self.look(now)

    def look(self, now: float) -> None:
        """Ask at once, unless it is being asked."""
        if self._task is None and self._nodes.may_seek:
            self._asked_at = now
            self._task = self._nodes.start_seeking(self._seek())

    def forget(self, link: PeerLink) -> None:
        """A node has no session any longer, or is gone."""
        if self._digests is not None and self._digests.pop(link, None) is not None:
            link.users.discard(self)
            if not self._digests:
                self._digests = None

    def stale(self, link: PeerLink) -> None:
        """A node holds another policy than it has described.

        Its new one is asked for, but not without end where two nodes have two: each description
        costs milliseconds at both ends, and visitors come as fast as they like.
        """
        self.forget(link)
        self.seek()

    async def _seek(self) -> None:
        try:
            nodes = await self._nodes.find(self.route.hostname)
            known = {link.node.id for link in self.links}
            new = [one for one in nodes if one.id not in known][: MAX_HOLDERS - len(known)]
            if len(new) == 1:
                await self._ask(new[0])
            elif new:
                await asyncio.gather(*map(self._ask, new))
        finally:
            self._task = None

    async def _ask(self, node: Node) -> None:
        """Learn of a node what has to be known before anything is forwarded to it."""
        link = self._nodes.link_to(node)
        try:
            description = await self._nodes.describe(link, self.route)
        except PeerError as error:
            _log.debug("%s was not described: %s", self.route.hostname, error)
            return
        if description is None or not description.is_ready or self.route.elsewhere is not self:
            return
        if not self.route.follow_described(description.policy):
            return  # it would refuse what is sent by the rules that hold here
        self._nodes.described(self.route, description)
        if self._digests is None:
            self._digests = {}
        self._digests[link] = digest_of(description.policy)
        link.users.add(self)
        self.route.wake()
