"""Decides who serves a request: a reply of the edge's own, one of its endpoints, or an app.

A pure decision, without sockets: a front hands in what it has read and acts on what it gets. The
order is the edge's policy: endpoints before guards, guards before routes, doors before apps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from asgi_tunnel.protocol.handshake import SUBPROTOCOL, TUNNEL_PATH
from asgi_tunnel.protocol.head import Arrival, RequestHead

from .context import EdgeContext
from .directory import Directory
from .endpoints.endpoint import MAX_BODY, Endpoint
from .exchange.http import HTTPExchange
from .exchange.private import PrivateHTTPExchange
from .exchange.timed import TimedHTTPExchange
from .exchange.websocket import WebSocketExchange
from .exchange.writer import Exchange, ResponseWriter
from .guards import Guards, Rules, VisitorAddress
from .guards.app_policy import stricter
from .inbox.service import Inbox
from .login import Entrance, Passage
from .replies import RETRY_AFTER, Reply
from .request import Request
from .route import Route

__all__ = ["OVERLOADED", "UNKNOWN", "Dispatcher", "is_tunnel"]

OVERLOADED: Final = Reply(
    503,
    "this edge has no memory left for new requests right now",
    RETRY_AFTER,
    reason="overloaded",
)
UNKNOWN: Final = Reply(
    404, "no app is served under this name", closes=False, reason="unknown-hostname"
)
END_TO_END: Final = Reply(421, "only the app itself may read what is sent under this name")
_WRONG_VERSION: Final = Reply(
    426,
    "only WebSocket version 13 is spoken here",
    fields=[(b"sec-websocket-version", b"13"), (b"upgrade", b"websocket")],
)
_NO_HOST: Final = Reply(400, "there has to be exactly one Host field")
_BAD_HANDSHAKE: Final = Reply(400, "the WebSocket handshake is malformed")
_NO_ENTRANCE: Final = Reply(
    503, "nobody can be let in at this door right now", RETRY_AFTER, reason="access-unknown"
)
_TUNNEL_PATH: Final = TUNNEL_PATH.encode()
_SUBPROTOCOL: Final = SUBPROTOCOL.encode()
_new: Final = tuple.__new__  # docs/adr/0006-compiled-wheels.md


class Allowed(NamedTuple):
    """How a request goes to an app that has rules of its own, or a door in front of it."""

    route: Route
    max_body: int  #: bytes; 0: no limit
    max_time: float  #: seconds; 0: no limit
    passage: Passage | None  #: None: it passed no door


class Dispatcher:
    """See the module.

    Args:
        context: Of the edge.
        directory: Finds who serves a hostname.
        guards: Turn visitors away.
        endpoints: What the edge itself serves, asked in order.
        entrance: Decides who passes doors; None: there is none.
        inbox: Keeps requests to marked routes; None: nothing is kept.
    """

    def __init__(
        self,
        context: EdgeContext,
        directory: Directory,
        guards: Guards,
        endpoints: Sequence[Endpoint] = (),
        *,
        entrance: Entrance | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.guards = guards
        self._inbox = inbox
        self._endpoints = endpoints
        self.context = context
        self._directory = directory
        self._entrance = entrance
        self._is_traced = False  # the request that is being dispatched

    def dispatch(  # noqa: PLR0911 - one for each reason why no app gets a request
        self, request: Request, arrival: Arrival, visitor: VisitorAddress, writer: ResponseWriter
    ) -> Reply | Exchange:
        """Decide about one request.

        Args:
            request: What was read.
            arrival: How it came.
            visitor: Whose it is.
            writer: For the exchange, if there is one.

        Returns:
            What to reply, or an exchange to start.
        """
        traces = self.context.traces
        self._is_traced = traces is not None and traces.wants()
        local = self.claim(request, arrival, writer)
        if local is not None:
            return local
        reply = self.refuse(request)
        if reply is not None:
            return reply
        hostname = request.hostname
        route = None if hostname is None else self._directory.find(hostname)
        guards = self.guards
        rules = guards.rules(hostname)
        # A name that is hidden has none for guards, while nobody serves it.
        if route is None or (guards.hides_offline and route.choose() is None):
            name = ""
        else:
            name = route.hostname
        deny = guards.check(visitor, request, rules, name)
        if deny is None and request.length is not None and 0 < rules.max_body < request.length:
            deny = Reply(413, f"the body is larger than {rules.max_body} bytes")
        if deny is not None:
            return deny
        if route is None or hostname is None:
            return UNKNOWN
        if route.is_end_to_end:
            return END_TO_END
        if route.policy is None and rules.door is None:
            return self._relay(request, arrival, route, rules, writer)
        allowed = self._allow(request, arrival, visitor, route, rules)
        if isinstance(allowed, Allowed):
            return self._relay_allowed(allowed, request, arrival, rules, writer)
        if not name:  # it is answered for as a name that no token has
            route.seek()
            nobody = Route(hostname, "", holds=route.holds)
            return self._relay(request, arrival, nobody, rules, writer)
        if isinstance(allowed, Reply):
            return allowed
        return self._serve_locally(request, arrival, allowed, writer, is_private=True)

    def _allow(
        self,
        request: Request,
        arrival: Arrival,
        visitor: VisitorAddress,
        route: Route,
        rules: Rules,
    ) -> Allowed | Reply | Route:
        """Hold what the app wants refused, and ask at doors.

        Returns:
            How the request goes to the app; what to reply; or the route to the login, for its
            pages.
        """
        entrance, policy = self._entrance, route.policy
        has_door = rules.door is not None or (policy is not None and policy.has_access)
        if entrance is None and rules.door is not None:
            return _NO_ENTRANCE  # fail closed: there is one wherever edge.toml has a policy
        if has_door and entrance is not None and entrance.is_login(request):
            return entrance.route
        max_body, max_time = rules.max_body, rules.max_time
        named: tuple[str, ...] = ()
        match = None
        if policy is not None:
            is_websocket = request.websocket_key is not None
            match = policy.match(request.method, request.target, is_websocket=is_websocket)
        if match is not None:
            deny = self.guards.app_policy.check(match, visitor, self.guards.now())
            if deny is not None:
                return deny
            max_body = int(stricter(max_body, match.max_body))
            if request.length is not None and 0 < max_body < request.length:
                return Reply(413, f"the body is larger than {max_body} bytes")
            max_time = stricter(max_time, match.max_time)
            named = match.access
        if entrance is None or (rules.door is None and not named):
            return Allowed(route, max_body, max_time, None)
        found = entrance.check(rules.door, named, request, arrival, visitor, route)
        return (
            found if isinstance(found, Reply) else Allowed(found.route, max_body, max_time, found)
        )

    def _relay_allowed(
        self,
        allowed: Allowed,
        request: Request,
        arrival: Arrival,
        rules: Rules,
        writer: ResponseWriter,
    ) -> Exchange | Reply:
        passage = allowed.passage
        if passage is not None:
            request = request._replace(fields=passage.fields)
        exchange = self._relay(request, arrival, allowed.route, rules, writer)
        if isinstance(exchange, Reply):
            return exchange
        if isinstance(exchange, HTTPExchange):
            exchange.max_body, exchange.max_time = allowed.max_body, allowed.max_time
        else:
            exchange.max_body = int(stricter(exchange.max_body, allowed.max_body))
        if passage is not None:
            passage.begin(exchange)
        return exchange

    def _relay(
        self,
        request: Request,
        arrival: Arrival,
        route: Route,
        rules: Rules,
        writer: ResponseWriter,
    ) -> Exchange | Reply:
        """Return the exchange of a request that nothing keeps from its app."""
        head = self.head(request, arrival, request.hostname or "")
        if route.marks is not None and request.websocket_key is None:
            kept = self._keep(request, head, route, rules, writer)
            if kept is not None:
                return kept
        tracer = self.context.tracer
        if tracer is not None:
            head = tracer.opened(request, head)
        if request.websocket_key is not None:
            channel = WebSocketExchange(writer, request, head, route, self.context)
            channel.pace = rules.pace
            return channel
        observers = self.context.observers
        is_traced = self._is_traced and bool(route.token_id)  # not the edge's own pages
        if rules.server_timing or is_traced:
            exchange: HTTPExchange = TimedHTTPExchange(
                writer,
                request,
                head,
                route,
                observers,
                tells=rules.server_timing,
                traces=self.context.traces if is_traced else None,
            )
        else:
            exchange = HTTPExchange(writer, request, head, route, observers)
        if rules.hsts and arrival.scheme == "https":
            writer.keep_to_https(rules.hsts)
        exchange.pace = rules.pace
        exchange.max_body = rules.max_body
        exchange.max_time = rules.max_time
        return exchange

    def _keep(
        self,
        request: Request,
        head: RequestHead,
        route: Route,
        rules: Rules,
        writer: ResponseWriter,
    ) -> Reply | Exchange | None:
        """Let the inbox have a request to a route that its app has marked; None: it is to none."""
        kept = None if self._inbox is None else self._inbox.claim(request, head, route, writer)
        if kept is None or isinstance(kept, Reply):
            return kept
        kept.pace = rules.pace
        if rules.max_body:
            kept.max_body = min(kept.max_body, rules.max_body)
        if rules.hsts and head.arrival.is_secure:
            writer.keep_to_https(rules.hsts)
        return kept

    def refuse(self, request: Request) -> Reply | None:
        """Say why no app gets a request, whoever sent it; None: nothing is wrong with it."""
        if not request.host:
            return _NO_HOST
        if request.websocket_error:
            return _WRONG_VERSION if request.websocket_error == 426 else _BAD_HANDSHAKE
        return OVERLOADED if self.context.is_overloaded else None

    def claim(
        self, request: Request, arrival: Arrival, writer: ResponseWriter
    ) -> Reply | Exchange | None:
        """Let an endpoint have a request; None: no endpoint wants it."""
        for endpoint in self._endpoints:
            local = endpoint.claim(request)
            if local is not None:
                return self._serve_locally(request, arrival, local, writer)
        return None

    def _serve_locally(
        self,
        request: Request,
        arrival: Arrival,
        route: Route,
        writer: ResponseWriter,
        *,
        is_private: bool = False,
    ) -> Reply | Exchange:
        if request.length is not None and request.length > MAX_BODY:
            return Reply(413, f"the body is larger than {MAX_BODY} bytes")
        head = self.head(request, arrival, request.hostname or "")
        if request.websocket_key is not None:
            return WebSocketExchange(writer, request, head, route, self.context)
        make = PrivateHTTPExchange if is_private else HTTPExchange
        exchange = make(writer, request, head, route, self.context.observers)
        exchange.max_body = MAX_BODY
        return exchange

    def head(self, request: Request, arrival: Arrival, hostname: str) -> RequestHead:
        """Return what is relayed of a request."""
        return _new(
            RequestHead,
            (
                request.method,
                request.target,
                arrival,
                self.context.next_request_id(),
                hostname.encode(),
                request.fields,
            ),
        )


def is_tunnel(request: Request) -> bool:
    """Whether an app asks for a tunnel, and not a visitor for a page."""
    return (
        request.websocket_key is not None
        and request.target == _TUNNEL_PATH
        and any(
            name == b"sec-websocket-protocol" and _SUBPROTOCOL in value
            for name, value in request.fields
        )
    )
