"""Puts an edge together, runs it, and takes it apart again.

Large because it holds one class, which says why.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from asgi_tunnel.memory import keep_memory
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.session import Session

from .address import PublicAddress, public_address, remove_edge_address, write_edge_address
from .admission.tunnels import TunnelAcceptor
from .bus.events import Events
from .bus.opening import open_bus
from .channel import Message
from .choice import TLSChoice
from .cluster.folder import read_identity
from .connections.limiter import ConnectionLimiter
from .connections.sweep import Sweep
from .connections.table import ConnectionTable
from .context import EdgeContext
from .descriptors import (
    available_descriptors,
    has_terminal,
    raise_limit,
)
from .directory import LocalDirectory
from .dispatch import Dispatcher
from .endpoints.endpoint import PathEndpoint
from .endpoints.health import HEALTH_PATH, READY_PATH, Health, Ready
from .endpoints.local_app import LocalApp
from .endpoints.page import LocalPages
from .errors import EdgeConfigError
from .guards import Guards
from .hostname import is_address
from .http1.connection import HTTP1Connection
from .http1.front import HTTP1Front
from .identity.proxies import Proxies
from .inbox.service import Inbox
from .instruments import Instruments
from .known_edges import KnownEdges
from .leaving import SPREAD, STOP_GRACE, Ending, Leaving
from .login import Entrance
from .neighbours import BusOpener, IdentityReader, Neighbours
from .observers.access_log import AccessLog
from .observers.live_counts import LiveCounts
from .observers.log_handler import logging_to_stderr
from .observers.request_counter import RequestCounter
from .observers.rotation import Rotation
from .pages import load_pages
from .ports import Ports, bound
from .questions import LiveEdge, answer
from .quotas import fitting_limits, share_of
from .readiness import Readiness
from .redirect import Redirector
from .settings.config import CONFIG_FILE, EdgeConfig, Limits, ListenAddress, parse_public_url
from .shown import ShownCertificates
from .spending import CLUSTER_INTERVAL, INTERVAL, Spending
from .storage import SnapshotWatcher
from .supervision import ParentLink, SocketSource
from .tokens import Snapshot

if TYPE_CHECKING:
    from .access.doors import Doors
    from .access.paths import Door
    from .bus import Node
    from .dashboard.service import Dashboard
    from .listeners.client_hello import ClientHello
    from .policy.matcher import AppPolicy

_log = logging.getLogger("asgi_tunnel_edge.server")

_EXPIRY_CHECK: Final = 0.5


def run(config: EdgeConfig, parent: ParentLink | None = None) -> int:
    """Run the edge until SIGINT or SIGTERM; return the exit code.

    Args:
        config: Its settings.
        parent: Holds the listening sockets, and says when another process takes this one's place.
    """
    with logging_to_stderr():
        return _run(config, parent)


def _run(config: EdgeConfig, parent: ParentLink | None) -> int:
    raise_limit()
    keep_memory()
    loop_factory = None
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:  # Windows
        pass
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        code = runner.run(Edge(config, parent=parent, open_bus=open_bus).run())
        if hasattr(signal, "SIGHUP"):
            # The parent sends it to processes that leave, too, and Python takes handlers away
            # before a process has ended: it would end this one as a crash does.
            runner.get_loop().remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return code


class Edge:
    """One edge: start order in :meth:`start`, the reverse in :meth:`stop`.

    Large because each part of an edge is made, joined and ended here, and nowhere else.

    Args:
        config: Its settings.
        parent: See :func:`run`.
        open_bus: Returns what knows the other nodes.
        identity_of: Returns the certificate for other edges.

    Attributes:
        neighbours: The other nodes.
        worker: Which of the edge's serving processes this is, from 0; the first one has duties
            that one has for all.
        workers: How many there are.
        events: What is said to other nodes, and heard of them.
    """

    def __init__(
        self,
        config: EdgeConfig,
        *,
        parent: ParentLink | None = None,
        open_bus: BusOpener = open_bus,
        identity_of: IdentityReader = read_identity,
    ) -> None:
        self.config = config
        self._parent = parent
        self._held = SocketSource() if parent is None else parent
        self.worker = 0 if parent is None else parent.worker
        self.workers = 1 if parent is None else max(parent.workers, 1)
        self.events = Events()
        self.neighbours = Neighbours(config, parent, open_bus, self.events, identity_of=identity_of)
        self._ending = Ending(is_led=parent is not None)
        self._access_log = AccessLog(
            form=config.access_log.format,
            path=config.access_log_path,
            rotation=_rotation(config),
        )
        self._watcher: SnapshotWatcher | None = None
        self._is_made = False  # whether all is there that follows the store
        self._expiry: asyncio.TimerHandle | None = None
        self.ports = Ports(self._held, parent)
        self._certificates: ShownCertificates | None = None  # None: TLS is off
        self.guards: Guards
        self.directory: LocalDirectory
        self.nodes: Callable[[], Sequence[Node]] = lambda: self.neighbours.others
        self.known_edges: KnownEdges
        self.tunnels: TunnelAcceptor
        self.context: EdgeContext
        self.inbox: Inbox
        self._counts: LiveCounts
        self.table: ConnectionTable
        self.limiter: ConnectionLimiter
        self.front: HTTP1Front
        self._sweep: Sweep
        self._health: LocalApp
        self.readiness: Readiness
        self.instruments: Instruments
        self._entrance: Entrance | None = None  # None: no hostname has a door
        self._spending: Spending | None = None  # None: this node is alone
        self._dashboard: Dashboard | None = None
        self.dashboard_address: ListenAddress | None = None
        self.metrics_address: ListenAddress | None = None
        self.address: ListenAddress
        self.http_address: ListenAddress | None = None  # of the port for plain HTTP

    async def run(self) -> int:
        """Serve until a signal; a second one ends it now. SIGHUP reopens the logs."""
        end = self._ending
        had_terminal = has_terminal()

        def on_hangup() -> None:
            if had_terminal and not has_terminal():
                end.on_signal()  # its window was closed
            else:
                self.reopen_logs()

        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, end.on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(signal.SIGHUP, on_hangup)
        try:
            await self.start()
        except OSError:
            return 2  # and it is said
        if self._parent is not None:
            self._tell_parent(self._parent)
        await end.first.wait()
        leaving = self.stop() if end.drain is None else self.retire(end.drain)
        stopping = asyncio.ensure_future(leaving)
        forced = asyncio.ensure_future(end.second.wait())
        await asyncio.wait({stopping, forced}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, forced):
            task.cancel()
        await asyncio.wait({stopping, forced})
        return 0

    async def start(self) -> None:
        """Read the tokens, then listen.

        Raises:
            EdgeConfigError: The access log or a file of ``[pages]`` cannot be used, there is
                nothing to trace with, or the secret for alerts cannot be read.
            OSError: The address cannot be listened on.
        """
        config = self.config
        self._open_access_log()
        self.instruments = Instruments(config)  # a secret that is missing ends the start
        await self.instruments.prepare()
        pages = load_pages(config)
        self.guards = Guards(config, asyncio.get_running_loop().time)
        self._watcher = SnapshotWatcher(
            config.database, config.snapshot_path, self._apply, bans=self.guards
        )
        snapshot = await self._watcher.start()
        self.guards.apply(snapshot)
        limits = fitting_limits(share_of(config.limits, self.workers), available_descriptors())
        self.context = EdgeContext(
            limits=limits,
            observers=(self._access_log,),
            pages=pages,
            workers=self.workers,
        )
        self.instruments.attach(self.context, snapshot)
        self.directory = LocalDirectory(
            snapshot,
            limiter=self.context.tokens,
            hides_offline=config.guards.hide_offline,
            judge=self.guards.judge,
        )
        self._watcher.uses = self.directory
        self._entrance = await self._open_doors(snapshot)
        self.inbox = Inbox(config, self.context, self.directory)
        self._counts = LiveCounts(self.context, self.directory.registered_name)
        if config.tls.mode != "off":
            self._certificates = ShownCertificates(
                config, self._held, events=self.events, orders=self.worker == 0
            )
        self.readiness = Readiness(
            self.context,
            self._watcher,
            self._certificates,
            domain=config.domain,
            shares_store=config.store is not None,
        )
        await self._start_front(limits)
        await self._open_dashboard()
        await self.inbox.start()
        if self._certificates is not None:
            await self._certificates.start(self._watcher.snapshot)
        self._follow_store(snapshot)
        try:
            await self._listen_everywhere()
        except OSError:
            self.ports.close()
            await self.neighbours.stop()
            await self._stop_pages()
            if self._certificates is not None:
                await self._certificates.stop()
            await self.inbox.stop()
            await self._watcher.stop()
            raise
        self._write_address()
        await self.instruments.start_alerts(
            context=self.context,
            directory=self.directory,
            watcher=self._watcher,
            certificates=self._certificates,
            link=self._link_to_others,
        )
        self._access_log.start()
        self._sweep.start()
        self._expiry = asyncio.get_running_loop().call_later(_EXPIRY_CHECK, self._look)
        # What lives as long as the process need not be looked at by each collection.
        gc.collect()
        gc.freeze()
        if self._certificates is not None:
            self._certificates.look(self.context.now(), self._dialed_names)
        _log.info("listening on %s for %s", self.address, self._public().visitor_url(config.domain))
        if self._dashboard is not None:
            self._dashboard.announce(self.dashboard_address)

    async def stop(self) -> None:
        """Drain: apps dial again elsewhere, exchanges in progress end, then all closes.

        Cancelling it ends everything at once.
        """
        _log.info("stopping; exchanges in progress get %g s", STOP_GRACE)
        leaving = self._leave()
        self.inbox.retire()  # the next process delivers what is stored from now on
        try:
            await leaving.stop()
        finally:
            await self._take_apart(leaving.sessions)
            remove_edge_address(self.config)

    async def retire(self, seconds: float) -> None:
        """Leave to the process that serves on the same sockets now; see :class:`.leaving.Leaving`.

        Args:
            seconds: For what is in progress.
        """
        _log.info("another process serves from now on; what is in progress gets %g s", seconds)
        leaving = self._leave()
        self.inbox.retire()  # the other one delivers now
        self.instruments.retire()
        self.neighbours.retire()
        try:
            await leaving.retire(self._ending)
        finally:
            await self._take_apart(leaving.sessions)

    def _leave(self) -> Leaving:
        """Accept no more, neither here nor from other nodes; order no certificates."""
        if self._certificates is not None:
            self._certificates.retire()  # first: a CA that looks now finds closed ports
        self.ports.close()
        self.directory.withdraw()
        return Leaving(
            self.context,
            self.directory,
            self.table,
            is_arriving=lambda: self.ports.is_arriving,
            is_owing=lambda: self.neighbours.buffered > 0,
            has_others=self.known_edges.has_others,
        )

    async def _take_apart(self, sessions: list[Session]) -> None:
        self.directory.close()
        for session in sessions:
            session.terminate(GoawayCode.SHUTDOWN, "the edge has stopped", retry_after=0.5)
        await asyncio.sleep(0.05)  # the last frames leave
        self.ports.stop()
        self._sweep.stop()
        self.table.end()
        if self._spending is not None:
            self._spending.stop()
        await self.neighbours.stop()
        await self.inbox.stop()
        await self._stop_pages()
        if self._certificates is not None:
            await self._certificates.stop()
        await self.instruments.stop_alerts()
        if self._expiry is not None:
            self._expiry.cancel()
        if self._watcher is not None:
            await self._watcher.stop()
        self.context.refusals.stop()
        self._access_log.stop()
        await self.instruments.stop_tracing()

    def _live(self) -> LiveEdge:
        """What questions may look at, now that it runs."""
        listening = (
            self.address,
            self.http_address,
            self.metrics_address,
            self.dashboard_address,
        )
        return LiveEdge(
            config=self.config,
            context=self.context,
            directory=self.directory,
            table=self.table,
            counts=self._counts,
            access_log=self._access_log,
            nodes=self.neighbours.status,
            processes=self.neighbours.processes,
            addresses=tuple(one for one in listening if one is not None),
            exposition=self.instruments.exposition,
            numbers=self.instruments.numbers,
            watcher=self._watcher,
        )

    def _tell_parent(self, parent: ParentLink) -> None:
        """Say that this process serves, and answer what is asked from now on."""
        live = self._live()

        async def reply(request: Message) -> Message:
            if request.get("command") == "retire":
                self.ports.close()  # now: who hears that it is done may look
                self._ending.retire(float(request["seconds"]))
                return {"ok": True, **await answer(live, {"command": "status"})}
            if request.get("command") == "end":
                self._ending.second.set()
            return await answer(live, request)

        parent.serve(reply)
        parent.ready(
            folder=self.config.data_dir,
            addresses=[str(one) for one in live.addresses],
            drain_timeout=self.config.limits.drain_timeout,
        )

    def reopen_logs(self) -> None:
        """Leave files that were renamed; the log's own thread looks each second by itself."""
        self._access_log.reopen()
        _log.info("SIGHUP: the log files are opened again")

    def _open_access_log(self) -> None:
        try:
            self._access_log.open()
        except OSError as error:
            why = f"{self.config.access_log_path} cannot be written ({error.strerror})"
            fix = "make its folder, writable for the edge's user, or name another file"
            raise EdgeConfigError("access_log.path", why, fix, file=CONFIG_FILE) from error

    async def _open_doors(self, snapshot: Snapshot) -> Entrance | None:
        """Begin to decide who passes doors; None: ``edge.toml`` has none.

        Raises:
            StorageError: The key of sessions cannot be read.
        """
        if not self.config.policies:
            return None

        def find(hostname: str) -> tuple[Door | None, AppPolicy | None]:
            route = self.directory.find(hostname)
            return self.guards.rules(hostname).door, None if route is None else route.policy

        entrance = Entrance(self.config, find)
        await entrance.start(snapshot)
        return entrance

    async def _open_dashboard(self) -> None:
        """Serve the edge's own pages under their hostname, where there are any.

        Raises:
            StorageError: The key of their forms cannot be read.
        """
        if not self.config.dashboard.is_on:
            return
        from .dashboard.service import Dashboard

        assert self._watcher is not None
        self._dashboard = Dashboard(
            self.config,
            edge=self._live,
            context=self.context,
            directory=self.directory,
            watcher=self._watcher,
            certificates=self._certificates,
            visitor_url=self._visitor_url,
            link=self._link_to_others,
        )
        await self._dashboard.start()

    def _write_address(self) -> None:
        try:
            write_edge_address(self.config, self.address)
        except OSError as error:
            _log.warning(
                "%s cannot be written (%s); the edge goes on: only commands that ask which port "
                "it has, where `listen` says 0, need the file",
                self.config.address_path,
                error.strerror,
            )

    async def _start_front(self, limits: Limits) -> None:
        """Make what takes visitors and tunnels in."""
        proxies = self._proxies()
        self.limiter = ConnectionLimiter(
            self.guards,
            self.context.now,
            is_trusted=None if proxies is None else proxies.is_trusted,
        )
        self.known_edges = KnownEdges(
            self.config.edge_address or "", self._other_nodes, is_secure=self._is_dialed_by_tls
        )
        self.tunnels = TunnelAcceptor(
            self.context,
            self.directory,
            self._visitor_url,
            on_error=self.limiter.note_error,
            pins=self._pins,
            edges=self.known_edges.urls,
            desk=self.guards,
        )
        self.tunnels.on_marks = self.inbox.follow
        self.tunnels.keeps_marked = self.config.inbox.enabled
        self.table = ConnectionTable(
            max_connections=limits.max_connections,
            max_per_address=limits.max_connections_per_address,
        )
        self._health = self._make_health()
        await self._health.start()
        endpoints = [PathEndpoint(one, self._health.route) for one in (HEALTH_PATH, READY_PATH)]
        self.front = HTTP1Front(
            self.context,
            limiter=self.limiter,
            table=self.table,
            dispatcher=Dispatcher(
                self.context,
                self.directory,
                self.guards,
                endpoints,
                entrance=self._entrance,
                inbox=self.inbox,
            ),
            tunnels=self.tunnels,
            proxies=proxies,
        )
        self._sweep = Sweep(
            self.context,
            self.table,
            self.directory,
            self._access_log,
            kept_for_nodes=lambda: self.neighbours.buffered,
            relayed=self.neighbours.relayed,
        )

    def _proxies(self) -> Proxies | None:
        """Who is believed about visitors; None, at no cost, where nobody is."""
        config = self.config
        if not config.proxies.trusted:
            return None
        url = config.public_url
        is_https = parse_public_url(url, setting="public_url").scheme == "https" if url else False
        return Proxies(config.proxies, is_https=is_https or config.tls.mode != "off")

    async def _listen_everywhere(self) -> None:
        config = self.config
        await self.neighbours.start(
            self.context,
            self.directory,
            tunnels=self.tunnels,
            inbox=self.inbox,
            open_sockets=self.ports.open_to_the_end,
        )
        self._count_together()
        self.address = await self._listen(config.listen_address)
        if config.http_address is not None:
            self.http_address = await self._listen_in_the_clear(config.http_address)
        if config.dashboard_address is not None:
            self.dashboard_address = await self._listen_for_dashboard(config.dashboard_address)
        counter = self.instruments.counter
        if counter is not None and config.metrics_address is not None:
            await self._serve_metrics(counter, config.metrics_address)

    def _count_together(self) -> None:
        """Let rates, marks and the end of logins hold for all nodes, where this one has others."""
        if self.events.bus is None:
            return
        interval = CLUSTER_INTERVAL if self.config.is_cluster else INTERVAL
        spending = self._spending = Spending(self.events, interval=interval)
        self.limiter.join(spending)
        self.guards.join(spending)
        self.tunnels.join(spending)
        self.inbox.join(self.events)
        if self._entrance is not None:
            self._entrance.join(spending, self.events)

    async def _listen(self, address: ListenAddress) -> ListenAddress:
        """Accept connections of visitors and apps; return the address with its port.

        Raises:
            OSError: The address cannot be listened on.
        """
        if self._certificates is None:
            return await self.ports.serve_front(address, self.front)
        choice = TLSChoice(self.front, self.directory, self.guards, self._certificates)
        found = await self.ports.serve_tls(
            address, choice, limiter=self.limiter, context=self.context
        )
        acceptor = self.ports.acceptor
        assert acceptor is not None
        if self._dashboard is not None:
            acceptor.on_connected = self._dashboard.traces.connected
        if self.workers > 1 and self._parent is not None:
            acceptor.pass_on = self._pass_on
            self._parent.on_connection(acceptor.take)
        acceptor.start()
        return found

    def _pass_on(self, hello: ClientHello, sock: socket.socket, address: str, data: bytes) -> bool:
        """Let each process have its part of the apps' connections; see ``parent.spread``."""
        assert self._parent is not None
        is_dialed = hello.server_name == self._dialed_name
        return is_dialed and self._parent.pass_on(sock, address, data)

    @functools.cached_property
    def _dialed_name(self) -> str | None:
        """Which name the apps' ClientHellos have; asked once the address is known."""
        host = self._public().host
        return None if is_address(host.encode()) else host.lower()

    async def _listen_in_the_clear(self, address: ListenAddress) -> ListenAddress:
        """Send visitors of plain HTTP to https; return the address with its port.

        Raises:
            OSError: The address cannot be listened on.
        """
        front = HTTP1Front(
            self.context,
            limiter=self.limiter,
            table=self.table,
            dispatcher=Redirector(
                self.context,
                self.directory,
                self.guards,
                [] if self._certificates is None else self._certificates.endpoints,
                https_url=self._visitor_url,
                is_served=self._is_served,
            ),
            tunnels=None,
        )
        return await self.ports.serve(
            "http_listen", address, lambda: HTTP1Connection(front).as_protocol()
        )

    async def _listen_for_dashboard(self, address: ListenAddress) -> ListenAddress:
        """Serve the dashboard on this machine; return the address with its port.

        Raises:
            OSError: The address cannot be listened on.
        """
        assert self._dashboard is not None
        assert self._entrance is not None
        front = HTTP1Front(
            self.context,
            limiter=self.limiter,
            table=self.table,
            dispatcher=self._dashboard.dispatcher(self.guards, self._entrance),
            tunnels=None,
        )
        return await self.ports.serve(
            "dashboard", address, lambda: HTTP1Connection(front).as_protocol()
        )

    async def _stop_pages(self) -> None:
        await self.instruments.stop_metrics()
        if self._dashboard is not None:
            await self._dashboard.stop()
        await self._health.stop()
        if self._entrance is not None:
            await self._entrance.stop()

    def _make_health(self) -> LocalApp:
        context = self.context
        # The edge is well while it leaves to another process of its own.
        health = Health(lambda: context.is_replaced or not context.is_stopping)
        # Strangers need not know why: only the page of the metrics' address says so.
        ready = Ready(self.readiness.reasons, shows_reasons=False)
        return LocalApp(LocalPages({HEALTH_PATH: health, READY_PATH: ready}))

    async def _serve_metrics(self, counter: RequestCounter, address: ListenAddress) -> None:
        """Serve the numbers on an address of their own: one process does for all.

        Raises:
            OSError: The address cannot be listened on.
        """
        from .metrics.reader import EdgeParts

        assert self._watcher is not None
        parts = EdgeParts(
            counter=counter,
            context=self.context,
            directory=self.directory,
            table=self.table,
            limiter=self.limiter,
            guards=self.guards,
            tunnels=self.tunnels,
            sweep=self._sweep,
            watcher=self._watcher,
            readiness=self.readiness,
            certificates=self._certificates,
            acceptor=self.ports.acceptor,
            inbox=self.inbox.book,
            nodes=self.neighbours.status,
            generation=1 if self._parent is None else self._parent.generation,
        )
        self.instruments.read_metrics(parts, self._link_to_others)
        if self.worker:
            return
        sockets = await self.ports.open_to_the_end("metrics", address)
        self.metrics_address = bound(address, sockets)
        watch = self.ports.watch(sockets)
        await self.instruments.serve_metrics(parts, sockets, self.metrics_address, watch)

    @property
    def _link_to_others(self) -> ParentLink | None:
        """What asks the other serving processes; None: there are none."""
        return self._parent if self.workers > 1 else None

    def _is_served(self, hostname: str) -> bool:
        route = self.directory.find(hostname)
        if route is None or self._certificates is None:
            return False
        return route.is_end_to_end or self._certificates.find(hostname) is not None

    def _follow_store(self, first: Snapshot) -> None:
        """Take what the store has changed since the first snapshot, and what it will."""
        assert self._watcher is not None
        self._is_made = True
        if self._watcher.snapshot is not first:
            self._apply(self._watcher.snapshot)

    def _apply(self, snapshot: Snapshot) -> None:
        if not self._is_made:
            return  # the start takes the newest one once all is there that follows it
        self.directory.apply(snapshot)
        self.inbox.apply(snapshot)
        self.instruments.follow(snapshot)
        if self._certificates is not None:
            self._certificates.follow(snapshot)
        if self._entrance is not None and self._entrance.doors.apply(snapshot.access):
            self._end_signed_out(self._entrance.doors)
        if self.guards.apply(snapshot):
            self._end_banned()

    def _end_signed_out(self, doors: Doors) -> None:
        """Users, logins or service tokens have changed: end what is open for who is out now."""
        now = time.time()
        for connection in list(self.table.connections):
            person = connection.person
            if person is not None and not doors.holds(person, now):
                connection.end()

    def _end_banned(self) -> None:
        """Bans have changed: end the connections of who is banned now."""
        for connection in list(self.table.connections):
            if not connection.is_proxy and self.guards.is_banned(connection.address):
                connection.end()

    def _look(self) -> None:
        try:
            self._look_at_times()
        except Exception:  # noqa: BLE001
            # The timer's outer edge: without looks no token and no certificate would end any more.
            _log.exception("a look at what has expired failed; the next one follows")
        finally:
            self._expiry = asyncio.get_running_loop().call_later(_EXPIRY_CHECK, self._look)

    def _look_at_times(self) -> None:
        self.directory.end_expired(time.time())
        self.known_edges.look(self.directory)
        self.directory.renew()
        now = self.context.now()
        self.context.refusals.flush(now)
        if self._certificates is not None:
            pins = self._certificates.pins
            self._certificates.look(now, self._dialed_names)
            if self._certificates.pins != pins:
                self.directory.renew_all(SPREAD)  # so that apps hear of the next one in time
        if not self.context.is_stopping:
            self.ports.look()

    def _pins(self) -> tuple[str, ...]:
        return () if self._certificates is None else self._certificates.pins

    def _other_nodes(self) -> Sequence[Node]:
        return self.nodes()

    @property
    def _is_dialed_by_tls(self) -> bool:
        url = self.config.public_url
        return self.config.tls.mode != "off" if url is None else url.startswith("https://")

    def _dialed_names(self) -> list[str]:
        own = self.config.dashboard.hostname
        names = [self._public().host, *([own] if own else []), *self.directory.snapshot.owners]
        return list(dict.fromkeys(names))

    def _public(self) -> PublicAddress:
        # The port that it has, not the one in the file, which may not have been written.
        return public_address(replace(self.config, listen=str(self.address)))

    def _visitor_url(self, hostname: str) -> str:
        return self._public().visitor_url(hostname)


def _rotation(config: EdgeConfig) -> Rotation | None:
    """What renames the access log; None: somebody else, or nobody."""
    path, log = config.access_log_path, config.access_log
    if path is None or not (log.rotate_bytes or log.rotate_after):
        return None
    return Rotation(path, max_bytes=log.rotate_bytes, max_age=log.rotate_after, keep=log.keep)
