"""What the edge's pages ask of inspectors: bounded in number, time and size.

The interface is that of :mod:`asgi_tunnel.inspector`; who may ask about which tunnel is decided
before. Each request says who it is for, and whether they may change anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from asgi_tunnel.protocol.head import INSPECT, Arrival, HeadError, RequestHead

from ..route import Upstream
from .errors import InspectionError
from .stream import InspectorStream

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inquiry", "Inspectable", "InspectionError", "InspectorReply", "Inspectors"]

MAX_ASKED: Final = 32
"""Questions at one time, those that are followed not among them: a page has one or two."""

MAX_FOLLOWED: Final = 100
"""Pages that follow an inspector at one time: each holds a stream of its app's tunnel open."""

TIMEOUT: Final = 20.0
"""Seconds for a reply, over a slow uplink: a HAR of many exchanges is some MiB."""

MAX_REPLY: Final = 16 * 1024 * 1024
"""Bytes of one reply: a HAR of exchanges with their bodies."""

_ARRIVAL: Final = Arrival(b"http", b"1.1", b"127.0.0.1", 0, b"127.0.0.1", 0)
_JSON: Final = (b"content-type", b"application/json")


class Inspectable(Upstream, Protocol):
    """A way to one process of an app: a session, or what leads to one at another node."""

    takes_inspect: bool  #: it has an inspector

    @property
    def is_attached(self) -> bool:
        """Whether it is connected now."""

    @property
    def can_open(self) -> bool:
        """Whether one more request may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One request to an inspector.

    Attributes:
        target: Path and query, as the inspector has them.
        method: Of HTTP.
        body: Of the request, whole; JSON.
        by: Who asks, for what is changed and replayed.
        may_write: They may change what is recorded, and replay.
    """

    target: str
    method: str = "GET"
    body: bytes = b""
    by: str
    may_write: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorReply:
    """What an inspector has said."""

    status: int
    type: str  #: as Content-Type has it
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the object that the body is.

        Raises:
            InspectionError: It is none.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InspectionError("broken", "the app's inspector replied with what is no object")
        return value


class Inspectors:
    """See the module.

    Args:
        next_request_id: Returns an id for a request, for the app's log.
    """

    def __init__(self, next_request_id: Callable[[], bytes]) -> None:
        self._next_request_id = next_request_id
        self._asked = 0
        self._followed = 0

    async def ask(self, session: Inspectable, inquiry: Inquiry) -> InspectorReply:
        """Ask, and return the whole reply. Cancelling it tells the app's side.

        Args:
            session: Of the app.
            inquiry: What is asked.

        Raises:
            InspectionError: There is no reply.
        """
        if self._asked >= MAX_ASKED:
            raise InspectionError("busy", f"{MAX_ASKED} questions wait for their replies already")
        self._asked += 1
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._read(self._open(session, inquiry))
        except TimeoutError:
            why = f"the app's inspector did not reply in {TIMEOUT:g} s"
            raise InspectionError("slow", why) from None
        finally:
            self._asked -= 1

    @asynccontextmanager
    async def follow(
        self, session: Inspectable, inquiry: Inquiry
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask for what has no end; gives its bytes, as they come.

        Args:
            session: Of the app.
            inquiry: What is asked, such as ``/live``.

        Raises:
            InspectionError: There is no reply, or it has ended early.
        """
        if self._followed >= MAX_FOLLOWED:
            raise InspectionError("busy", f"{MAX_FOLLOWED} pages follow inspectors already")
        self._followed += 1
        stream: InspectorStream | None = None
        try:
            stream = self._open(session, inquiry)
            try:
                async with asyncio.timeout(TIMEOUT):
                    head = await stream.head()
            except TimeoutError:
                why = f"the app's inspector did not reply in {TIMEOUT:g} s"
                raise InspectionError("slow", why) from None
            if head.status != 200:
                raise InspectionError("broken", f"the app's inspector replied with {head.status}")
            yield _pieces(stream)
        finally:
            self._followed -= 1
            if stream is not None:
                stream.close()

    def _open(self, session: Inspectable, inquiry: Inquiry) -> InspectorStream:
        if not session.takes_inspect:
            raise InspectionError("off", "the app's side has no inspector that is on")
        if not session.is_attached or not session.can_open:
            raise InspectionError("away", "the app is not connected right now")
        asks = json.dumps({"by": inquiry.by, "may_write": inquiry.may_write}).encode()
        head = RequestHead(
            inquiry.method.encode(),
            inquiry.target.encode(),
            _ARRIVAL,
            self._next_request_id(),
            b"inspector",
            [_JSON, (b"content-length", b"%d" % len(inquiry.body)), (INSPECT, asks)],
        )
        try:
            return InspectorStream(session, head, inquiry.body)
        except HeadError as error:
            raise InspectionError("too-large", f"the question is too long: {error}") from None

    async def _read(self, stream: InspectorStream) -> InspectorReply:
        try:
            head = await stream.head()
            pieces: list[bytes] = []
            size = 0
            while data := await stream.read():
                pieces.append(data)
                size += len(data)
                if size > MAX_REPLY:
                    why = f"the app's inspector sent more than {MAX_REPLY} bytes"
                    raise InspectionError("too-large", why)
        finally:
            stream.close()
        kind = next((value for name, value in head.fields if name == b"content-type"), b"")
        return InspectorReply(
            status=head.status, type=kind.decode("latin-1"), body=b"".join(pieces)
        )


async def _pieces(stream: InspectorStream) -> AsyncIterator[bytes]:
    while data := await stream.read():
        yield data
