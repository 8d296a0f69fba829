"""The other nodes, as one node sees them: ways to them, who has which hostname, and what they want.

``neighbours`` makes one where there are other nodes, and starts it before anybody is served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import PeerError
from .description import Description, Inquiry, question, read_description
from .forwarded import Forwarding
from .holders import Holders
from .inspected import RemoteProcess
from .link import PeerLink, name_of
from .listening import PeerListener
from .pump import Pumps
from .relay import Relay

if TYPE_CHECKING:
    import socket
    import ssl

    from ..bus import Bus, Node
    from ..connections.memory import Evictable
    from ..context import EdgeContext
    from ..directory import LocalDirectory
    from ..route import Route

__all__ = ["Peers"]

_log = logging.getLogger("asgi_tunnel_edge.peers")

AHEAD: Final = 10
"""Hostnames that are asked about ahead of their visitors, each ``AHEAD_EVERY``: 2 % of a core,
where thousands of apps come at once."""

AHEAD_EVERY: Final = 0.1
"""Seconds."""

MAX_FRESH: Final = 10_000
"""Hostnames that wait for that; the others are asked about when somebody comes."""

MAX_ASKED: Final = 8
"""Hostnames of one token that are asked about for a page of inspectors: most have one or two."""

MAX_SEEKING: Final = 256
"""Hostnames that are sought at one time; the others are when the edge looks again, 4 a second."""


class Peers:
    """See the module; the ``Neighbourhood`` of a directory.

    Args:
        own: This node.
        bus: Knows the others.
        context: Of the edge.
        directory: Has the sessions of this node.
        tls: For nodes on other machines; None: there are none that can be reached.

    Attributes:
        forwarding: What was sent to other nodes.
        pumps: Pass on connections that are for other processes of this edge.
        listener: Takes the connections of the others.
        relay: Serves them.
        on_described: Called when a node has said what an app wants.
    """

    def __init__(
        self,
        own: Node,
        bus: Bus,
        *,
        context: EdgeContext,
        directory: LocalDirectory,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._own = own
        self._bus = bus
        self._context = context
        self._directory = directory
        self._tls = tls
        self._links: dict[str, PeerLink] = {}  # by the node's id
        self._seeking: set[asyncio.Task[None]] = set()
        self._fresh: dict[str, None] = {}  # hostnames that another node holds since a moment
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self.forwarding = Forwarding(context.limits.hold_timeout)
        self.relay = Relay(context, directory)
        self.pumps = Pumps()
        self.listener = PeerListener(own, self.relay, self.pumps)
        self.listener.find_process = self.find_process
        self.on_described: Callable[[Route, Description], None] | None = None

    async def listen_here(self, path: Path) -> None:
        """Take processes of this machine from now on.

        Raises:
            OSError: The folder cannot be written.
        """
        await self.listener.listen_here(path)

    async def listen_on(self, sockets: list[socket.socket], tls: ssl.SSLContext) -> None:
        """Take nodes of other machines from now on; see :class:`.listening.PeerListener`."""
        await self.listener.listen_on(sockets, tls)

    def stop(self) -> None:
        """End all connections; what is in progress on them is lost. May be called twice."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self.listener.close()
        self.pumps.close()
        for task in list(self._seeking):
            task.cancel()
        for link in list(self._links.values()):
            link.close()

    @property
    def buffered(self) -> int:
        """Bytes that are kept for other nodes."""
        kept = sum(session.buffered for session in self.listener.sessions)
        return kept + sum(link.buffered for link in self._links.values())

    def relayed(self) -> Mapping[str, Collection[Evictable]]:
        """Return the responses that are kept for other nodes, by the id of their token."""
        return self.relay.kept(self.listener.sessions)

    def status(self) -> list[dict[str, Any]]:
        """Describe the connections, as ``status`` shows them."""
        found = []
        for node in self._bus.nodes:
            link = self._links.get(node.id)
            session = None if link is None else link.session
            state = "unused" if link is None else "lost"
            if link is not None and session is not None:
                state = "ready" if link.is_ready else "suspect"
            found.append(
                {
                    "node": name_of(node),
                    "state": state,
                    "streams": 0 if session is None else session.in_flight,
                    "bytes": 0 if session is None else session.moved,
                    "why": "" if link is None else link.why,
                }
            )
        return found

    # -- for the directory (Neighbourhood) ---------------------------------------------------

    def elsewhere(self, route: Route) -> Holders:
        """See :class:`..directory.Neighbourhood`."""
        return Holders(self, route)

    def hold(self, hostname: str) -> None:
        """See :class:`..directory.Neighbourhood`."""
        self._bus.hold(hostname)

    def release(self, hostname: str) -> None:
        """See :class:`..directory.Neighbourhood`."""
        self._bus.release(hostname)

    # -- for the bus -------------------------------------------------------------------------

    def holders_changed(self, hostname: str) -> None:
        """See :class:`..bus.BusListener`: ask at once where somebody waits.

        Of the others some are asked about ahead of their visitors: then the first one waits for
        nothing, and comes to doors that are known.
        """
        route = self._directory.find_route(hostname)
        if route is None or not isinstance(route.elsewhere, Holders):
            return
        if route.has_waiting:
            route.elsewhere.look(asyncio.get_running_loop().time())
        elif not route.is_served and len(self._fresh) < MAX_FRESH:
            self._fresh[hostname] = None
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(AHEAD_EVERY, self._look_ahead)

    def _look_ahead(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        for hostname in list(self._fresh)[:AHEAD]:
            del self._fresh[hostname]
            route = self._directory.find_route(hostname)
            if route is not None and isinstance(route.elsewhere, Holders):
                route.elsewhere.look(loop.time())
        if self._fresh and not self._is_stopped:
            self._timer = loop.call_later(AHEAD_EVERY, self._look_ahead)

    def node_gone(self, node_id: str) -> None:
        """See :class:`..bus.BusListener`.

        A connection that works knows better: the node may have lost the bus alone. One that does
        not reply is seen by its heartbeats.
        """
        link = self._links.get(node_id)
        if link is not None and not link.is_ready:
            del self._links[node_id]
            link.close()
            self._lost(link)

    def find_process(self, node_id: str) -> Node | None:
        """Return another process of this edge, by its node's id or the beginning of it."""
        for node in self._bus.nodes:
            if node.edge == self._own.edge and node.unix and node.id.startswith(node_id):
                return node
        return None

    # -- for holders -------------------------------------------------------------------------

    @property
    def may_seek(self) -> bool:
        """Whether one more hostname may be sought."""
        return len(self._seeking) < MAX_SEEKING and not self._is_stopped

    def start_seeking(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a search; it ends with this node."""
        task = asyncio.get_running_loop().create_task(work, name="asgi-tunnel-edge seek")
        self._seeking.add(task)
        task.add_done_callback(self._sought)
        return task

    async def find(self, hostname: str) -> Sequence[Node]:
        """Return the nodes that hold a hostname or wildcard; see :meth:`..bus.Bus.find`."""
        return await self._bus.find(hostname)

    def link_to(self, node: Node) -> PeerLink:
        """Return the way to a node."""
        link = self._links.get(node.id)
        if link is None:
            link = PeerLink(self._own, node, tls=self._tls, on_lost=self._lost)
            self._links[node.id] = link
        return link

    async def describe(self, link: PeerLink, route: Route) -> Description | None:
        """Ask a node about the app behind a route; None: it has none. Cancelling it is safe.

        Raises:
            PeerError: It cannot be reached, or does not reply.
        """
        session = await link.connect()
        if not link.is_ready:
            raise PeerError("it has no room, or was not heard for a while")
        head = question(route.hostname, self._context.next_request_id())
        data = await Inquiry(session, head).reply()
        return None if data is None else read_description(data, route.token_id)

    async def processes(self, hostnames: Sequence[str]) -> list[RemoteProcess]:
        """Return the processes of an app that are connected to other nodes. Cancelling it is safe.

        Args:
            hostnames: Of its token.
        """
        found: dict[tuple[str, str], RemoteProcess] = {}
        for hostname in hostnames[:MAX_ASKED]:
            route = self._directory.find_route(hostname)
            for node in await self._bus.find(hostname) if route is not None else ():
                link = self.link_to(node)
                try:
                    description = None if route is None else await self.describe(link, route)
                except PeerError:
                    continue
                for one in () if description is None else description.processes:
                    found.setdefault((node.id, one.instance), RemoteProcess(link, one, hostname))
        return list(found.values())

    def described(self, route: Route, description: Description) -> None:
        """A node has said what an app wants."""
        if self.on_described is not None:
            self.on_described(route, description)

    def _lost(self, link: PeerLink) -> None:
        known = {one.id for one in self._bus.nodes}
        if link.node.id not in known:  # it has ended, or the bus will say it again
            self._links.pop(link.node.id, None)
        for holders in list(link.users):
            holders.forget(link)

    def _sought(self, task: asyncio.Task[None]) -> None:
        self._seeking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The task's outer edge: the next look begins anew.
            _log.error("a hostname was not sought to the end: %s", error, exc_info=error)
