"""Opens connections to one service and keeps those that can be used again."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import ssl
from collections import deque
from hashlib import sha256
from typing import Final

from ...errors import ConfigError
from ..service import ProxyTarget
from .address import look_up, read_host
from .connection import ServiceConnection
from .deadlines import Deadlines
from .errors import BusyError, UnreachableError
from .response import FieldLines

_log = logging.getLogger("asgi_tunnel.services")

MAX_IDLE: Final = 32
"""Connections kept to one service while nothing is in progress: a browser opens six."""

IDLE_TIMEOUT: Final = 15.0
"""Seconds that an unused connection is kept; most servers close theirs after 5 to 75."""

FRESH: Final = 1.0
"""Seconds in which a connection may carry what must not be sent twice: no server closes one that
was used a moment ago, and a request that meets a close could not be repeated."""

LOOKUP_PAUSE: Final = 5.0
"""Seconds between two lookups of a name that has no address yet."""


class Pool:
    """The connections to one service, and what they share.

    Args:
        target: Where it is.
        name: What messages call it.

    Attributes:
        target: Where it is.
        deadlines: Of all exchanges.
        lines: Reads the fields of its responses.
    """

    def __init__(self, target: ProxyTarget, name: str) -> None:
        self.target = target
        self.lines = FieldLines()
        self.deadlines = Deadlines()
        self._name = name
        self._idle: deque[ServiceConnection] = deque()
        self._in_use: set[ServiceConnection] = set()
        self._opening = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._context: ssl.SSLContext | None = None
        # Pinned: what the name led to when it was looked up.
        self._addresses: list[str] = []
        self._lookup: asyncio.Lock = asyncio.Lock()
        self._retry_at = 0.0
        self._refusal = ""
        if target.scheme != "unix" and read_host(target.host, "to") is not None:
            self._addresses = [target.host]

    @property
    def is_resolved(self) -> bool:
        """Whether it is known where the service is."""
        return bool(self._addresses) or self.target.scheme == "unix"

    async def start(self) -> None:
        """Look the name up, once; a name without an address is looked up again when needed."""
        try:
            await self._resolve()
        except UnreachableError as error:
            _log.warning("the service of %s cannot be reached: %s", self._name, error)

    def take_idle(self, *, is_repeatable: bool) -> ServiceConnection | None:
        """Return a connection that was used before, the last one first; None where none fits.

        Args:
            is_repeatable: The request may be sent again, should the connection turn out closed.
        """
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_open:
                continue
            if now - connection.idle_since > (IDLE_TIMEOUT if is_repeatable else FRESH):
                self._idle.append(connection)
                return None
            self._in_use.add(connection)
            return connection
        return None

    async def open(self) -> ServiceConnection:
        """Return a new connection.

        Raises:
            UnreachableError: There is none.
            BusyError: As many as allowed are in use.
            TimeoutError: It took longer than the service's ``connect_timeout``.

        Cancelling it closes the socket.
        """
        if len(self._in_use) + self._opening >= self.target.max_connections:
            raise BusyError
        self._opening += 1
        try:
            async with asyncio.timeout(self.target.connect_timeout):
                connection = await self._connect()
        finally:
            self._opening -= 1
        self._in_use.add(connection)
        return connection

    def give_back(self, connection: ServiceConnection) -> None:
        """Take a connection back after its exchange: it is kept where that is possible."""
        self._in_use.discard(connection)
        loop = asyncio.get_running_loop()
        if not connection.finish(loop.time()):
            return
        if self._is_closed or len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_TIMEOUT, self._on_sweep)

    def drop(self, connection: ServiceConnection) -> None:
        """Close a connection whose exchange did not end well."""
        self._in_use.discard(connection)
        connection.close()

    def close(self) -> None:
        """Close what nothing uses now; the others close after their exchange."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._idle:
            self._idle.pop().close()
        self.deadlines.close()

    def _on_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        limit = loop.time() - IDLE_TIMEOUT
        while self._idle and (not self._idle[0].is_open or self._idle[0].idle_since <= limit):
            self._idle.popleft().close()
        if self._idle:
            self._sweep = loop.call_later(IDLE_TIMEOUT / 4, self._on_sweep)

    # -- opening -----------------------------------------------------------------------------

    async def _connect(self) -> ServiceConnection:
        loop = asyncio.get_running_loop()
        target = self.target
        why = "it has no address"
        if target.scheme == "unix":
            connection = ServiceConnection(self.deadlines)
            try:
                await loop.create_unix_connection(connection.as_protocol, target.socket)
            except OSError as error:
                raise UnreachableError(reason(error)) from error
            return connection
        await self._resolve()
        context = self._tls() if target.scheme == "https" else None
        server_name = (target.server_name or target.host) if context is not None else None
        for address in self._addresses:
            connection = ServiceConnection(self.deadlines)
            try:
                transport, _ = await loop.create_connection(
                    connection.as_protocol,
                    address,
                    target.port,
                    ssl=context,
                    server_hostname=server_name,
                )
            except ssl.SSLError as error:
                why = _tls_reason(error)
            except OSError as error:
                why = reason(error)
            else:
                if isinstance(target.verify, str) and not _is_pinned(transport, target.verify):
                    connection.close()
                    raise UnreachableError("its certificate is another one than verify names")
                return connection
        raise UnreachableError(why)

    async def _resolve(self) -> None:
        """Pin the addresses of the name.

        Raises:
            UnreachableError: It has none now, or one that is refused.
        """
        if self.is_resolved:
            return
        loop = asyncio.get_running_loop()
        async with self._lookup:
            if self._addresses:
                return
            if loop.time() < self._retry_at:
                raise UnreachableError(self._refusal)
            target = self.target
            try:
                self._addresses = await look_up(
                    target.host,
                    target.port,
                    f"service {self._name}: to",
                    allow_public=target.allow_public,
                )
            except (ConfigError, OSError) as error:
                self._refusal = str(error) or "the lookup of its name took too long"
                self._retry_at = loop.time() + LOOKUP_PAUSE
                raise UnreachableError(self._refusal) from error

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            verify = self.target.verify
            if isinstance(verify, str) and not verify.startswith("sha256:"):
                try:
                    context = ssl.create_default_context(cafile=verify)
                except (OSError, ssl.SSLError) as error:
                    raise UnreachableError(f"verify names a file of no use: {error}") from error
            elif verify is True:
                context = ssl.create_default_context()
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            self._context = context
        return self._context


def _is_pinned(transport: asyncio.Transport, pin: str) -> bool:
    if not pin.startswith("sha256:"):
        return True
    tls = transport.get_extra_info("ssl_object")
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    if certificate is None:
        return False
    return hmac.compare_digest("sha256:" + sha256(certificate).hexdigest(), pin.lower())


def reason(error: OSError) -> str:
    """Return why a connection failed, in the system's words; asyncio puts the address there."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return f"TLS failed, so perhaps it speaks http: {error.reason}"
