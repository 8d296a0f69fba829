"""An ASGI app that hands calls to one local service."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from ...asgi.types import Receive, Scope, Send
from ..reply import refuse
from ..service import ProxyTarget, Service
from .errors import (
    BusyError,
    RequestError,
    ResponseError,
    UnreachableError,
)
from .fields import HeadWriter, is_target, is_token
from .http import Exchange
from .pool import Pool
from .urls import UrlMap
from .websocket import WebSocketExchange

_log = logging.getLogger("asgi_tunnel.services")

LOG_INTERVAL: Final = 60.0
"""Seconds in which the same mistake of a service is logged once: a visitor may ask for it often."""

_NOT_RUNNING: Final = "this service is not running at the moment"


class Use(Protocol):
    """Counts what is in progress at a service; see :class:`..entry.Entry`."""

    def begin_exchange(self) -> None:
        """An exchange is in progress from here."""

    def end_exchange(self) -> None:
        """It is over."""


class Proxy:
    """One service.

    Args:
        service: Its line of the table.
        target: Where it is.
        use: Counts the exchanges that are no calls; whoever calls counts those.

    Attributes:
        use: As given.
        urls: Maps URLs in its fields.
        writer: Writes the heads of its requests.
        pool: Its connections.
    """

    def __init__(self, service: Service, target: ProxyTarget, use: Use) -> None:
        self.use = use
        self._name = service.name
        self.urls = UrlMap(service, target)
        self.writer = HeadWriter(
            send_host=target.send_host,
            prefix=service.path if service.strip else "",
            destination=self.urls.for_service,
        )
        self._target = target
        self.pool = Pool(target, service.name)
        self._was_reached = True  # what the log last said
        self._warned = ""  # the last mistake that was logged
        self._warn_again = 0.0  # loop time

    @property
    def has_name(self) -> bool:
        """Whether its address has to be looked up."""
        return not self.pool.is_resolved

    @property
    def was_reached(self) -> bool:
        """Whether the last request found somebody there; before the first one, too."""
        return self._was_reached

    async def start(self) -> None:
        """Look the service's name up."""
        await self.pool.start()

    def close(self) -> None:
        """Close the connections that nothing uses."""
        self.pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call.  Cancelling it closes its connection to the service."""
        exchange: Exchange | WebSocketExchange
        kind = WebSocketExchange if scope["type"] == "websocket" else Exchange
        try:
            target = _request_target(scope)
            exchange = kind(self.pool, scope, receive, send)
            exchange.write_head(self.writer, target, self.urls)
        except RequestError as error:
            await refuse(scope, receive, send, error.status, error.why)
            return
        try:
            await exchange.run()
        except UnreachableError as error:
            self._note(error.why)
            await refuse(scope, exchange.receive, send, 503, _NOT_RUNNING, retry=True)
        except BusyError:
            self.warn(f"all {self._target.max_connections} connections are in use")
            await refuse(scope, exchange.receive, send, 503, "this service is busy", retry=True)
        except TimeoutError:
            self.warn("it did not answer in time")
            if not exchange.has_started:  # else it is left incomplete, and so it is cut
                why = "this service did not answer in time"
                await refuse(scope, exchange.receive, send, 504, why)
        except (ResponseError, ConnectionError) as error:
            self.warn(str(error))
            if not exchange.has_started:
                why = "this service gave no valid response"
                await refuse(scope, exchange.receive, send, 502, why)
        else:
            self.note_reached()

    def note_reached(self) -> None:
        """Log that the service is there again, when it was away."""
        if not self._was_reached:
            self._was_reached = True
            _log.info("the service of %s is reached again", self._name)

    def warn(self, why: str) -> None:
        """Log a mistake of the service, the same one once in ``LOG_INTERVAL``."""
        now = asyncio.get_running_loop().time()
        if why == self._warned and now < self._warn_again:
            return
        self._warned, self._warn_again = why, now + LOG_INTERVAL
        _log.warning("the service of %s: %s", self._name, why)

    def _note(self, why: str) -> None:
        """Log that the service is away, once until it is back."""
        if self._was_reached:
            self._was_reached = False
            _log.warning(
                "the service of %s is not reached at %s: %s; it answers 503",
                self._name,
                self._target.socket or self._target.authority,
                why,
            )


def _request_target(scope: Scope) -> bytes:
    """Return the target of the request to the service, in origin form.

    Raises:
        RequestError: Method or path cannot be written down; nothing is sent.
    """
    method = scope.get("method", "GET")
    if method == "CONNECT":
        raise RequestError(405, "no way leads through here: CONNECT is for proxies")
    if not is_token(method.encode("latin-1", "replace")):
        raise RequestError(400, "the method is malformed")
    target: bytes = scope["raw_path"]
    if scope["root_path"]:
        target = target.removeprefix(scope["root_path"].encode())
    if target == b"*" and method == "OPTIONS":
        return b"*"
    query = scope["query_string"]
    if not target.startswith(b"/"):
        if target:
            raise RequestError(400, "the path does not begin with a slash")
        target = b"/"
    if query:
        target = b"%b?%b" % (target, query)
    if not is_target(target):
        raise RequestError(400, "the path has a character that no URL has")
    return target
