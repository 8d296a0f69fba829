"""The other nodes, put together: the bus that knows them, and the connections to them.

``server`` makes one, and starts it before anybody is served. A process that is alone has no bus,
and then nothing here exists: no socket, no task, and ``elsewhere`` of every route is None.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from . import __version__
from .bus import Event, Node
from .cluster.tls import accepting_context, dialing_context
from .peers import Peers
from .peers.carry import Carrier, tag_of
from .peers.sockets import PEER_FOLDER
from .settings.addresses import ListenAddress, parse_listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .admission.tunnels import TunnelAcceptor
    from .bus import Bus
    from .bus.events import Events
    from .cluster.authority import NodeIdentity
    from .connections.memory import Evictable
    from .context import EdgeContext
    from .directory import LocalDirectory
    from .inbox.service import Inbox
    from .peers.description import Description
    from .peers.inspected import RemoteProcess
    from .route import Route
    from .settings.config import EdgeConfig
    from .supervision import ParentLink

__all__ = ["BusOpener", "IdentityReader", "Neighbours"]

_log: Final = logging.getLogger("asgi_tunnel_edge.server")

BusOpener = Callable[["EdgeConfig", Node, "ParentLink | None"], "Bus | None"]
"""Returns the bus of a node; None: it has no others. ``bus.opening`` has that of every edge."""


IdentityReader = Callable[["EdgeConfig"], "NodeIdentity | None"]
"""Returns the certificate that an edge shows to others; None: it has none."""


class Neighbours:
    """See the module; what a bus tells.

    Args:
        config: Of the edge.
        parent: Of this process; None: there is none.
        open_bus: See :data:`BusOpener`.
        events: Hears what other nodes say.
        identity_of: Returns the certificate for other edges; None: this one has none.

    Attributes:
        node: This process, as the others know it.
        peers: The connections; None: this node is alone.
        carrier: Passes the connections of apps on, whose sessions are elsewhere; None: the same.
    """

    def __init__(
        self,
        config: EdgeConfig,
        parent: ParentLink | None,
        open_bus: BusOpener,
        events: Events,
        *,
        identity_of: IdentityReader,
    ) -> None:
        self._config = config
        self._parent = parent
        self._open_bus = open_bus
        self._identity_of = identity_of
        self._events = events
        self._bus: Bus | None = None
        self._inbox: Inbox | None = None
        self.peers: Peers | None = None
        self.carrier: Carrier | None = None
        self.node = self._make_node()

    def _make_node(self) -> Node:
        config = self._config
        name = secrets.token_hex(8)
        return Node(
            id=name,
            edge=config.node or "",
            worker=0 if self._parent is None else self._parent.worker,
            unix=str((config.data_dir / PEER_FOLDER / f"{name}.sock").absolute()),
            peer=config.peer_address or config.peer_listen or "",
            public=config.edge_address or "",
            version=__version__,
        )

    async def start(
        self,
        context: EdgeContext,
        directory: LocalDirectory,
        *,
        tunnels: TunnelAcceptor,
        inbox: Inbox,
        open_sockets: Callable[[str, ListenAddress], Awaitable[list[socket.socket]]],
    ) -> None:
        """Join the others, if there may be any. Cancelling it leaves sockets for :meth:`stop`.

        Args:
            context: Of the edge.
            directory: Has the sessions of this node.
            tunnels: Accepts them.
            inbox: Hears what apps at other nodes want kept.
            open_sockets: Listens on an address, for a purpose.

        Raises:
            OSError: The socket for the other processes of this machine cannot be made, or
                ``peer_listen`` cannot be listened on.
        """
        identity = self._identity_of(self._config)
        sockets: list[socket.socket] = []
        if identity is not None and self._config.peer_listen is not None:
            address = parse_listen(self._config.peer_listen, setting="peer_listen", file="")
            sockets = await open_sockets("peers", address)
            if not address.port and not self._config.peer_address:
                port = sockets[0].getsockname()[1]
                self.node = replace(self.node, peer=str(ListenAddress(address.host, port)))
        bus = self._bus = self._open_bus(self._config, self.node, self._parent)
        if bus is None:
            return
        self._inbox = inbox
        tls = None if identity is None else dialing_context(identity)
        peers = self.peers = Peers(self.node, bus, context=context, directory=directory, tls=tls)
        if identity is not None and sockets:
            await peers.listen_on(sockets, accepting_context(identity))
        peers.on_described = self._described
        self.carrier = tunnels.carrier = Carrier(self.node, peers, tunnels)
        tunnels.tag = tag_of(self.node)
        peers.listener.on_carried = self.carrier.arrived
        try:
            await peers.listen_here(Path(self.node.unix))
        except OSError as error:
            why = f"{self.node.unix} cannot be opened for other processes ({error})"
            _log.error("%s; make data_dir writable for the edge's user", why)
            if self._parent is not None:
                self._parent.failed(why)
            raise
        self._events.bus = bus
        directory.join(peers)
        await bus.start(self)

    def retire(self) -> None:
        """Another process of this edge takes what other machines open from now on."""
        if self.peers is not None:
            self.peers.listener.retire()

    async def stop(self) -> None:
        """Leave: what is in progress between nodes is lost. May be called twice."""
        if self._bus is not None:
            await self._bus.stop()
        if self.peers is not None:
            self.peers.stop()
        if self.carrier is not None:
            self.carrier.stop()

    @property
    def others(self) -> Sequence[Node]:
        """The other nodes that are known now."""
        return () if self._bus is None else self._bus.nodes

    @property
    def buffered(self) -> int:
        """Bytes that are kept for other nodes."""
        return 0 if self.peers is None else self.peers.buffered

    def relayed(self) -> Mapping[str, Collection[Evictable]]:
        """Return the responses that are kept for other nodes, by the id of their token."""
        return {} if self.peers is None else self.peers.relayed()

    def status(self) -> dict[str, Any]:
        """Say what passes between this node and others, as ``status`` shows it."""
        peers, bus = self.peers, self._bus
        if peers is None or bus is None:
            return {}
        return {
            **({} if self._config.bus is None else {"is_bus_connected": bus.is_connected}),
            "forwarded": peers.forwarding.sent,
            "gone": peers.forwarding.gone,
            "served": peers.relay.served,
            "carried": 0 if self.carrier is None else self.carrier.carried,
            "peers": peers.status(),
        }

    async def processes(self, hostnames: Sequence[str]) -> list[RemoteProcess]:
        """Return the processes of an app at other nodes; see :meth:`.peers.Peers.processes`."""
        return [] if self.peers is None else await self.peers.processes(hostnames)

    # -- what the bus tells (BusListener) ----------------------------------------------------

    def nodes_changed(self) -> None:
        """See :class:`.bus.BusListener`: who is needed is dialed when it is needed."""

    def holders_changed(self, hostname: str) -> None:
        """See :class:`.bus.BusListener`."""
        if self.peers is not None:
            self.peers.holders_changed(hostname)

    def node_gone(self, node_id: str) -> None:
        """See :class:`.bus.BusListener`."""
        if self.peers is not None:
            self.peers.node_gone(node_id)

    def happened(self, event: Event, node_id: str) -> None:
        """See :class:`.bus.BusListener`."""
        self._events.happened(event, node_id)

    def _described(self, route: Route, description: Description) -> None:
        """Keep requests for an app that is connected to another node, as it has said there."""
        if self._inbox is not None:
            self._inbox.learn(route.token_id, route.hostname, description.marks)
