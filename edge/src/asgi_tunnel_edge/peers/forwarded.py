"""One exchange on its way over another node: what the visitor's node does.

For its exchange it is a session, for the connection between the nodes a stream's handler. A node
that has no session any longer says so before any app has seen the request; then it is tried
elsewhere, also with a body: its beginning is kept until the other node has accepted it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from asgi_tunnel.asgi.types import StreamHandler
from asgi_tunnel.errors import LocalProtocolError
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import (
    PEER,
    Fields,
    HeadError,
    RequestHead,
    ResponseHead,
    add_peer,
    fit_lines,
)
from asgi_tunnel.protocol.limits import OUTBOX_HIGH
from asgi_tunnel.session import Session

from ..address import networks_of
from ..exchange.placement import MAX_TRIES, Placed
from ..replies import Reply
from ..route import Route, Upstream

if TYPE_CHECKING:
    from .link import PeerLink

__all__ = ["GONE", "STALE", "ForwardedStream", "Forwarding", "is_accepted"]

GONE: Final = "gone"
"""Reason of a node that has no session for the hostname."""

STALE: Final = "policy"
"""Reason of a node whose app wants other things refused than the visitor's node knows."""

KEPT_BODY: Final = OUTBOX_HIGH
"""Bytes of a body that are sent, and kept, before the other node has accepted the request; the rest
waits. That takes one round trip."""


def is_accepted(head: ResponseHead) -> bool:
    """Whether a head says that the other node has given the request to a session."""
    return head.status == 100 and bool(head.fields) and head.fields[0][0] == PEER


class Forwarding:
    """What all exchanges that are forwarded share.

    Args:
        hold_timeout: Seconds that a visitor waits for an app.

    Attributes:
        sent: Exchanges that were sent to another node.
        gone: Those of them whose node had no session any longer.
    """

    __slots__ = ("gone", "hold_timeout", "sent")

    def __init__(self, hold_timeout: float) -> None:
        self.hold_timeout = hold_timeout
        self.sent = 0
        self.gone = 0


class Candidates(Protocol):
    """Who may have a hostname; :mod:`.holders` has it.

    Attributes:
        route: Of the hostname.
    """

    route: Route

    def forget(self, link: PeerLink) -> None:
        """A node has no session any longer."""

    def stale(self, link: PeerLink) -> None:
        """A node holds another policy than it has described."""


class ForwardedStream:
    """See the module.

    Args:
        shared: With all others.
        holders: Who may have it, too.
        link: To the node that is tried first.
        digest: Of the policy that the request was let in by.

    Attributes:
        link: To the node that has it; that of the last one, while there is none.
    """

    __slots__ = (
        "_digest",
        "_end",
        "_handler",
        "_head",
        "_holders",
        "_id",
        "_is_paused",
        "_kept",
        "_kept_size",
        "_kind",
        "_policy",
        "_sent",
        "_shared",
        "_timer",
        "_tries",
        "_upstream",
        "link",
    )

    tells_duration: bool = True
    takes_visitor: bool = True

    def __init__(
        self, shared: Forwarding, holders: Candidates, link: PeerLink, digest: bytes
    ) -> None:
        self.link = link
        self._shared = shared
        self._holders = holders
        self._digest = digest
        self._policy = holders.route.policy
        self._handler: StreamHandler
        self._head: RequestHead
        self._kind = StreamKind.HTTP
        self._upstream: Upstream | None = None
        self._id = 0
        # What was said of the body, in order; None: no app has it a second time.
        self._kept: list[tuple[Buffer, bool]] | None = None
        self._kept_size = 0
        self._sent = 0  # of those, the number that have left
        self._end = False
        self._is_paused = False  # the exchange was told to wait
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None  # while it waits for another node

    # -- a session, for its exchange ---------------------------------------------------------

    def open_stream(
        self,
        kind: StreamKind,
        head: RequestHead,
        handler: StreamHandler,
        *,
        data: Buffer = b"",
        end: bool,
    ) -> int:
        """See :class:`..route.Upstream`; called once."""
        session = self.link.session
        if session is None:
            raise LocalProtocolError("no stream can be opened on a link that is lost")
        self._kind, self._head, self._handler, self._end = kind, head, handler, end
        if not end and kind is not StreamKind.BYTES:
            self._kept = []
        self._upstream = session
        self._tries = 1
        self._shared.sent += 1
        self._id = session.open_stream(kind, add_peer(head, self._digest), self, data=data, end=end)
        return self._id

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """See :class:`..route.Upstream`."""
        upstream, kept = self._upstream, self._kept
        if kept is None:
            if upstream is None:
                return True
            return upstream.send_data(self._id, data, end=end, text=text, more=more)
        kept.append((data, end))
        self._kept_size += len(data)
        if self._kept_size <= KEPT_BODY:
            self._send_kept()
            return True
        self._is_paused = not end
        return end

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """See :class:`..route.Upstream`."""
        if self._upstream is not None:
            self._upstream.send_close(self._id, code, reason)

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """See :class:`..route.Upstream`."""
        self._end_wait()
        upstream, self._upstream, self._kept = self._upstream, None, None
        if upstream is not None:
            upstream.reset_stream(self._id, code, reason)

    def consume(self, stream_id: int, cost: int) -> None:
        """See :class:`..route.Upstream`."""
        if self._upstream is not None:
            self._upstream.consume(self._id, cost)

    def release(self, stream_id: int) -> None:
        """See :class:`..route.Upstream`."""
        if self._upstream is not None:
            self._upstream.release(self._id)

    # -- the stream's handler ----------------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Learn that the request was accepted, or pass a head on; then the rest goes directly."""
        self._settle()
        if is_accepted(head):
            return
        upstream = self._upstream
        if isinstance(upstream, Session) and (head.status >= 200 or head.status == 101):
            upstream.replace_handler(self._id, self._handler)
        self._handler.on_head(head, data, end)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Pass it on."""
        self._handler.on_data(data, flow_controlled_size, end, text, more)

    def on_trailers(self, fields: Fields) -> None:
        """Pass them on."""
        self._handler.on_trailers(fields)

    def on_close(self, code: int, reason: str) -> None:
        """Pass it on."""
        self._handler.on_close(code, reason)

    def on_writable(self) -> None:
        """Pass it on, unless the body waits for the other node."""
        if self._kept is None:
            self._handler.on_writable()

    def on_reset(self, code: int, reason: str) -> None:
        """Try it elsewhere if no app has seen it; else the exchange decides."""
        if code == ResetCode.REFUSED:
            if reason == GONE:
                self._holders.forget(self.link)
                self._shared.gone += 1
            elif reason == STALE:
                self._holders.stale(self.link)
            if reason in (GONE, STALE) and self._kept is not None and self._tries < MAX_TRIES:
                self._try_elsewhere()
                return
        self._upstream = self._kept = None
        self._handler.on_reset(code, reason)

    # -- elsewhere (a waiter of the route) ---------------------------------------------------

    def _try_elsewhere(self) -> None:
        self._upstream = None
        self._sent = 0
        route = self._holders.route
        upstream = None if route.is_closed else route.choose()
        if upstream is not None:
            self.resume(upstream)
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._shared.hold_timeout, self._give_up)
        handler = self._handler
        visitor = handler.visitor if isinstance(handler, Placed) else ""
        route.wait(self, networks_of(visitor) if visitor else (self._head.hostname.decode(),))

    def resume(self, session: Upstream) -> None:
        """See :class:`..route.Waiter`."""
        self._end_wait()
        handler, route = self._handler, self._holders.route
        if route.policy is not self._policy and isinstance(handler, Placed):
            self._policy = route.policy
            request = handler.request
            if route.policy is not None and request is not None and route.judge is not None:
                deny = route.judge(route.policy, request, handler)
                if deny is not None:
                    self.refuse(deny)
                    return
        self._tries += 1
        try:
            self._open_elsewhere(session)
        except HeadError:
            self._fail("the request head is too large to be relayed")

    def _open_elsewhere(self, session: Upstream) -> None:
        head, upstream = self._head, session
        if isinstance(session, ForwardedStream):
            found = session.link.session
            if found is None:
                self._fail("")
                return
            self.link, upstream = session.link, found
            head = add_peer(head, session._digest)  # noqa: SLF001 - its own class
            self._upstream = upstream
            self._id = upstream.open_stream(self._kind, head, self, end=self._end)
            self._send_kept()
            return
        fields = fit_lines(
            head.fields, duration=session.tells_duration, visitor=session.takes_visitor
        )
        self._upstream = session
        self._id = session.open_stream(
            self._kind, head._replace(fields=fields), self._handler, end=self._end
        )
        self._settle()

    def give_way(self) -> None:
        """See :class:`..route.Waiter`."""
        self._end_wait()
        self._fail("")

    def refuse(self, reply: Reply) -> None:
        """See :class:`..route.Waiter`."""
        self._end_wait()
        self._kept = None
        if isinstance(self._handler, Placed):
            self._handler.refuse(reply)
        else:
            self._fail("")

    def _give_up(self) -> None:
        self._end_wait()
        self._fail("")

    def _end_wait(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            self._holders.route.give_up(self)

    def _fail(self, why: str) -> None:
        """No app has seen it, and none will."""
        self._upstream = self._kept = None
        self._handler.on_reset(ResetCode.REFUSED, why)

    # -- the body ----------------------------------------------------------------------------

    def _send_kept(self) -> bool:
        """Send what has not left of what is kept; return whether there is room for more."""
        upstream, kept = self._upstream, self._kept
        has_room = True
        if upstream is not None and kept is not None:
            for data, end in kept[self._sent :]:
                has_room = upstream.send_data(self._id, data, end=end)
            self._sent = len(kept)
        return has_room

    def _settle(self) -> None:
        """A session has the request: it is tried nowhere else."""
        if self._kept is None:
            return
        has_room = self._send_kept()
        self._kept = None
        if self._is_paused:
            self._is_paused = False
            if has_room:
                self._handler.on_writable()
