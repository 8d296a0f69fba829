"""What a node has to know of an app whose sessions are at another one: ``:describe``.

Without it the visitor's node could not hold the app's rules, so no exchange is forwarded before.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, ValidationError, convert, to_builtins

from asgi_tunnel.errors import TunnelError
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead, ResponseHead, add_peer
from asgi_tunnel.protocol.policy import PolicyRule, read_routes, read_rules

from ..errors import PeerError
from ..policy.matcher import AppPolicy

if TYPE_CHECKING:
    from asgi_tunnel.session import Session

__all__ = [
    "DESCRIBE",
    "NO_POLICY",
    "Description",
    "Process",
    "digest_of",
    "encode_description",
    "question",
]

DESCRIBE: Final = b":describe"
"""Target of a request to another node about a hostname; no visitor's target begins so."""

NO_POLICY: Final = b"-"
"""Digest of an app that wants nothing refused."""

MAX_DESCRIPTION: Final = 256 * 1024
"""Bytes of one: the rules of a HELLO take 16 KiB, and the inbox's 64 rules as many again."""

ASK_TIMEOUT: Final = 1.0
"""Seconds for a reply: the other node looks into its memory."""

_ARRIVAL: Final = Arrival(b"http", b"1.1", b"127.0.0.1", 0, b"127.0.0.1", 0)


class Process(Struct, frozen=True, kw_only=True):
    """One process of an app.

    Attributes:
        instance: As its HELLO has it.
        agent: Its software.
        since: When its oldest session began, in seconds since 1970.
        inspects: It has an inspector that is on.
    """

    instance: str
    agent: str = ""
    since: float = 0.0
    inspects: bool = False


class Description(Struct, frozen=True, kw_only=True):
    """What a node says of the sessions that it has for a hostname.

    Attributes:
        policy: What the app wants refused; None: nothing.
        marks: Rules of the inbox, as HELLO has them.
        is_ready: A session takes streams now.
        processes: Those of the app that are connected there.
    """

    policy: AppPolicy | None
    marks: tuple[str, ...]
    is_ready: bool
    processes: tuple[Process, ...] = ()


def digest_of(policy: AppPolicy | None) -> bytes:
    """Return what stands in the line ``:peer`` for a policy."""
    return NO_POLICY if policy is None else policy.digest


def encode_description(said: Description) -> bytes:
    """Return the JSON of a description."""
    policy = said.policy
    values: dict[str, Any] = {
        "ready": said.is_ready,
        "marks": list(said.marks),
        "processes": to_builtins(said.processes),
    }
    if policy is not None:
        values["policy"] = [one.to_json() for one in policy.rules]
        values["routes"] = list(policy.routes)
    return json.dumps(values, separators=(",", ":")).encode()


def read_description(data: bytes, token_id: str) -> Description:
    """Return what a node has said.

    Args:
        data: JSON.
        token_id: Whose hostname it is.

    Raises:
        PeerError: It is something else: nothing is forwarded there.
    """
    try:
        values = json.loads(data)
        rules, routes = read_rules(values.get("policy", [])), read_routes(values.get("routes", []))
        marks = tuple(str(one) for one in values.get("marks", []))
        processes = tuple(convert(values.get("processes", []), list[Process]))
        is_ready = bool(values["ready"])
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        TunnelError,
        ValidationError,
    ) as error:
        raise PeerError(f"describes an app in a way that cannot be read: {error}") from None
    policy = _compiled(rules, routes, token_id) if rules or routes else None
    return Description(policy=policy, marks=marks, is_ready=is_ready, processes=processes)


@lru_cache(maxsize=64)
def _compiled(rules: tuple[PolicyRule, ...], routes: tuple[str, ...], token_id: str) -> AppPolicy:
    """Compile what an app wants, which takes milliseconds, once for nodes that say the same."""
    return AppPolicy(rules, routes, token_id=token_id)


def question(hostname: str, request_id: bytes) -> RequestHead:
    """Return the head of the request that asks about a hostname or wildcard."""
    head = RequestHead(b"GET", DESCRIBE, _ARRIVAL, request_id, hostname.encode(), [])
    return add_peer(head, NO_POLICY)


class Inquiry:
    """One question on its way to another node: a stream's handler.

    Args:
        session: To it; can open a stream.
        head: Of :func:`question`.
    """

    def __init__(self, session: Session, head: RequestHead) -> None:
        self._session = session
        self._pieces: list[bytes] = []
        self._size = 0
        self._done: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._id = session.open_stream(StreamKind.HTTP, head, self, end=True)

    async def reply(self) -> bytes | None:
        """Return the JSON; None: it has no such hostname. Cancelling it ends the stream.

        Raises:
            PeerError: There is no reply.
        """
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                return await self._done
        except TimeoutError:
            raise PeerError(f"did not reply in {ASK_TIMEOUT:g} s") from None
        finally:
            if not self._done.done() or self._done.cancelled():
                self._session.reset_stream(self._id, ResetCode.CANCELLED)
            self._session.release(self._id)

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Take the status, and perhaps all of it."""
        if head.status != 200:
            self._fail(None)
        else:
            self.on_data(data, 0 if end else len(data), end, False, False)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Take a piece."""
        self._size += len(data)
        if self._size > MAX_DESCRIPTION:
            self._fail("says too much of one app")
            return
        self._pieces.append(bytes(data))
        if flow_controlled_size and not end:
            self._session.consume(self._id, flow_controlled_size)
        if end and not self._done.done():
            self._done.set_result(b"".join(self._pieces))

    def on_trailers(self, fields: Fields) -> None:
        """Not for a description."""
        self._fail("breaks the protocol")

    def on_close(self, code: int, reason: str) -> None:
        """Not for a description."""
        self._fail("breaks the protocol")

    def on_writable(self) -> None:
        """Nothing is sent."""

    def on_reset(self, code: int, reason: str) -> None:
        """There is no reply."""
        self._fail(reason or "was lost")

    def _fail(self, why: str | None) -> None:
        if self._done.done():
            return
        if why is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(PeerError(why))
