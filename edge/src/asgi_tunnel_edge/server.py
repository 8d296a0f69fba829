"""Puts an edge together, runs it, and takes it apart again."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Final

from asgi_tunnel.memory import keep_memory
from asgi_tunnel.protocol.codes import DrainReason, GoawayCode

from .address import PublicAddress, public_address, remove_edge_address, write_edge_address
from .admission.tunnels import TunnelAcceptor
from .certificates.files import FileCertificates
from .context import Ingress
from .directory import LocalDirectory
from .guards import Guards
from .http1.connection import Visitor
from .identity.proxies import Proxies
from .listeners.proxy_header import Gate
from .listeners.tls import HandshakeGate, listen
from .observers.access_log import AccessLog
from .settings.config import EdgeConfig, ListenAddress, parse_public_url
from .storage import SnapshotWatcher
from .tokens import Snapshot

_log = logging.getLogger("asgi_tunnel_edge.server")

BACKLOG: Final = 512
"""Connections the kernel keeps for us to accept; a longer queue only hides that we are late."""

STOP_GRACE: Final = 10.0
"""Seconds that exchanges in progress get when the edge stops."""

SPREAD: Final = 0.5
"""Seconds that apps are asked to wait, at the most, before they dial again."""

_EXPIRY_CHECK: Final = 0.5
_POLL: Final = 0.02


def run(config: EdgeConfig) -> int:
    """Run the edge until SIGINT or SIGTERM; return the exit code."""
    _configure_logging()
    _raise_file_limit()
    keep_memory()
    loop_factory = None
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:  # Windows
        pass
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(Edge(config).run())


class Edge:
    """One edge: start order in :meth:`start`, the reverse in :meth:`stop`."""

    def __init__(self, config: EdgeConfig) -> None:
        self.config = config
        self._access_log = AccessLog(form=config.access_log.format, path=config.access_log_path)
        self._watcher: SnapshotWatcher | None = None
        self._server: asyncio.Server | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._gate: Gate | None = None  # where a PROXY header comes first
        self._handshakes: HandshakeGate | None = None  # where TLS comes first
        self._sockets: list[socket.socket] = []
        self.guards: Guards
        self.registry: LocalDirectory
        self.ingress: Ingress
        self.door: TunnelAcceptor
        self.address: ListenAddress

    async def run(self) -> int:
        """Serve until a signal; a second one ends it now."""
        first, second = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (second if first.is_set() else first).set()

        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, on_signal)
        try:
            await self.start()
        except OSError as error:
            _log.error(
                "cannot listen on %s (%s); free the address or change `listen` in edge.toml",
                self.config.listen,
                error.strerror or error,
            )
            return 2
        await first.wait()
        stopping = asyncio.ensure_future(self.stop())
        forced = asyncio.ensure_future(second.wait())
        await asyncio.wait({stopping, forced}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, forced):
            task.cancel()
        await asyncio.wait({stopping, forced})
        return 0

    async def start(self) -> None:
        """Read the tokens, then listen.

        Raises:
            OSError: The address cannot be listened on.
        """
        config = self.config
        self._watcher = SnapshotWatcher(config.database_path, config.snapshot_path, self._apply)
        snapshot = await self._watcher.start()
        self.registry = LocalDirectory(snapshot)
        self.guards = Guards(config, asyncio.get_running_loop().time)
        self.guards.apply(snapshot)
        self.door = TunnelAcceptor(self.registry, config.limits, self._visitor_url)
        self.ingress = Ingress(
            registry=self.registry,
            door=self.door,
            limits=config.limits,
            access_log=self._access_log,
            guards=self.guards,
            proxies=self._proxies(),
        )
        secure = config.tls.mode != "off"
        certificates = (
            FileCertificates(config.certificate_path, config.key_path) if secure else None
        )
        context = None if certificates is None else certificates.context(None)
        address = config.listen_address
        try:
            port = await self._listen(address, context)
        except OSError:
            await self._watcher.stop()
            raise
        self.address = ListenAddress(address.host, port)
        write_edge_address(config, self.address)
        self._access_log.start()
        self.ingress.start()
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(_EXPIRY_CHECK, self._end_expired)
        # What lives as long as the process need not be looked at by each collection.
        gc.collect()
        gc.freeze()
        _log.info("listening on %s for %s", self.address, self._public().visitor_url(config.domain))

    async def stop(self) -> None:
        """Drain: apps dial again elsewhere, exchanges in progress end, then all closes.

        Cancelling it ends everything at once.
        """
        _log.info("stopping; exchanges in progress get %g s", STOP_GRACE)
        sessions = [entry.session for entry in self.registry.entries]
        try:
            self.door.is_closed = True
            self._close_listener()
            for number, session in enumerate(sessions):
                delay = SPREAD * number / len(sessions)
                session.drain(DrainReason.RESTART, delay=delay, grace=STOP_GRACE)
            self.ingress.close_idle()
            deadline = time.monotonic() + STOP_GRACE
            while time.monotonic() < deadline and (  # noqa: ASYNC110 - a look is cheap
                any(not one.is_over and one.connection.open_streams for one in sessions)
                or self.ingress.is_busy
            ):
                await asyncio.sleep(_POLL)
        finally:
            for session in sessions:
                session.terminate(GoawayCode.SHUTDOWN, "the edge has stopped", retry_after=0.5)
            await asyncio.sleep(0.05)  # the last frames leave
            if self._gate is not None:
                self._gate.stop()
            if self._handshakes is not None:
                self._handshakes.stop()
            self.ingress.stop()
            if self._expiry is not None:
                self._expiry.cancel()
            if self._watcher is not None:
                await self._watcher.stop()
            self._access_log.stop()
            remove_edge_address(self.config)

    def _proxies(self) -> Proxies | None:
        """Who is believed about visitors; None, at no cost, where nobody is."""
        config = self.config
        if not config.proxies.trusted:
            return None
        url = config.public_url
        is_https = parse_public_url(url, setting="public_url").scheme == "https" if url else False
        return Proxies(config.proxies, is_https=is_https or config.tls.mode != "off")

    async def _listen(self, address: ListenAddress, context: ssl.SSLContext | None) -> int:
        """Accept connections; return the port.

        Raises:
            OSError: The address cannot be listened on.
        """
        if context is not None:
            self._sockets = await listen(address.host, address.port, backlog=BACKLOG)
            self._handshakes = HandshakeGate(self.ingress, context, self._sockets)
            self._handshakes.start()
            return int(self._sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._protocol_factory(),
            address.host,
            address.port,
            backlog=BACKLOG,
            reuse_address=True,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._handshakes is not None:
            self._handshakes.close()
        for sock in self._sockets:
            sock.close()

    def _protocol_factory(self) -> Callable[[], asyncio.Protocol]:
        proxies = self.ingress.proxies
        if proxies is not None and proxies.reads_preamble:
            self._gate = Gate(self.ingress, proxies)
            return self._gate
        return lambda: Visitor(self.ingress, is_secure=False).as_protocol()

    def _apply(self, snapshot: Snapshot) -> None:
        self.registry.apply(snapshot)
        if self.guards.apply(snapshot):
            self.ingress.end_banned()

    def _end_expired(self) -> None:
        self.registry.end_expired(time.time())
        self.registry.renew()
        self._expiry = asyncio.get_running_loop().call_later(_EXPIRY_CHECK, self._end_expired)

    def _public(self) -> PublicAddress:
        return public_address(self.config)

    def _visitor_url(self, hostname: str) -> str:
        return self._public().visitor_url(hostname)


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("asgi_tunnel", "asgi_tunnel_edge"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each connection is one.

    The soft limit is 1024 almost everywhere, for the sake of programs that use ``select``.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warning("the limit of open files stays as it is: %s", error)
