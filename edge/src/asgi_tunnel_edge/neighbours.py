"""The other nodes, put together: the bus that knows them, and the connections to them.

``server`` makes one, and starts it before anybody is served. A process that is alone has no bus,
and then nothing here exists: no socket, no task, and ``elsewhere`` of every route is None.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from . import __version__
from .bus import Event, Node
from .peers import Peers
from .peers.carry import Carrier, tag_of
from .peers.sockets import PEER_FOLDER

if TYPE_CHECKING:
    from .admission.tunnels import TunnelAcceptor
    from .bus import Bus
    from .bus.events import Events
    from .context import EdgeContext
    from .directory import LocalDirectory
    from .inbox.service import Inbox
    from .peers.description import Description
    from .route import Route
    from .settings.config import EdgeConfig
    from .supervision import ParentLink

__all__ = ["BusOpener", "Neighbours", "no_bus"]

_log: Final = logging.getLogger("asgi_tunnel_edge.server")

BusOpener = Callable[["EdgeConfig", Node, "ParentLink | None"], "Bus | None"]
"""Returns the bus of a node; None: it has no others. ``bus.open_bus`` is the one of every edge."""


def no_bus(_config: EdgeConfig, _node: Node, _parent: ParentLink | None) -> Bus | None:
    """Return that a node is alone."""
    return None


class Neighbours:
    """See the module; what a bus tells.

    Args:
        config: Of the edge.
        parent: Of this process; None: there is none.
        open_bus: See :data:`BusOpener`.
        events: Hears what other nodes say.

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
    ) -> None:
        self._config = config
        self._parent = parent
        self._open_bus = open_bus
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
    ) -> None:
        """Join the others, if there may be any. Cancelling it leaves a socket for :meth:`stop`.

        Raises:
            OSError: The socket for the other processes of this machine cannot be made.
        """
        bus = self._bus = self._open_bus(self._config, self.node, self._parent)
        if bus is None:
            return
        self._inbox = inbox
        peers = self.peers = Peers(self.node, bus, context=context, directory=directory)
        peers.on_described = self._described
        self.carrier = tunnels.carrier = Carrier(self.node, bus, tunnels)
        tunnels.tag = tag_of(self.node)
        peers.listener.on_carried = self.carrier.arrived
        folder = self._config.data_dir / PEER_FOLDER
        await peers.listen_here(folder / f"{self.node.id}.sock")
        self._events.bus = bus
        directory.join(peers)
        await bus.start(self)

    async def stop(self) -> None:
        """Leave: what is in progress between nodes is lost. May be called twice."""
        if self._bus is not None:
            await self._bus.stop()
        if self.peers is not None:
            self.peers.stop()
        if self.carrier is not None:
            self.carrier.stop()

    @property
    def buffered(self) -> int:
        """Bytes that are kept for other nodes."""
        return 0 if self.peers is None else self.peers.buffered

    def status(self) -> list[dict[str, Any]]:
        """Describe the connections to other nodes, as ``status`` shows them."""
        return [] if self.peers is None else self.peers.status()

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
