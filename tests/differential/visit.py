"""Holds one conversation with one server, and returns what both of its sides saw."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .app import App, Call
from .client import TIMEOUT, MalformedError, Response, Visitor, frame
from .script import (
    Bad,
    Case,
    Close,
    Conversation,
    End,
    Exchange,
    Fields,
    FromApp,
    FromVisitor,
    Message,
    Ping,
    Read,
    Request,
    Socket,
    Turn,
)
from .worlds import World

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
"""Of RFC 6455 section 1.3."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT: Final = base64.b64encode(hashlib.sha1(KEY + _GUID, usedforsecurity=False).digest())
_PROBE: Final = Request(target=b"/probe")
_BAD: Final[dict[Bad, bytes]] = {
    Bad.UNMASKED: frame(1, b"x", masked=False),
    Bad.RESERVED_BIT: frame(1, b"x", reserved=4),
    Bad.RESERVED_OPCODE: frame(3, b"x"),
    Bad.NOT_UTF8: frame(1, b"\xff"),
    Bad.LONG_PING: frame(9, bytes(126)),
    Bad.FRAGMENTED_PING: frame(9, b"x", fin=False),
    Bad.LONE_CONTINUATION: frame(0, b"x"),
    Bad.NEW_MESSAGE_INSIDE: frame(1, b"x", fin=False) + frame(1, b"y"),
    Bad.CLOSE_OF_ONE_BYTE: frame(8, b"\x03"),
    Bad.CLOSE_CODE: frame(8, (1005).to_bytes(2, "big")),
    Bad.CLOSE_NOT_UTF8: frame(8, (1000).to_bytes(2, "big") + b"\xff"),
}


@dataclass
class Outcome:
    """What came of a conversation.

    Attributes:
        world: With whom.
        address: The visitor's own.
        calls: Of the app.
        responses: In turn; None where the connection ended instead.
        is_kept: Whether the connection was there afterwards; None where nobody looked.
        messages: Of the app, as the visitor read them: opcode and data.
        pongs: What they carried.
        close: The close frame: code, then reason; None without one.
        is_ended: Whether the server ended the connection of a WebSocket.
        trouble: What no server may do: malformed bytes, or silence.
    """

    world: World
    address: tuple[str, int] = ("", 0)
    calls: list[Call] = field(default_factory=list)
    responses: list[Response | None] = field(default_factory=list)
    is_kept: bool | None = None
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close: tuple[int, bytes] | None = None
    is_ended: bool | None = None
    trouble: str = ""


async def visit(case: Case, world: World, app: App) -> Outcome:
    """Hold a conversation."""
    visitor = await Visitor.connect(world.port)
    outcome = Outcome(world, visitor.address)
    if isinstance(case, Conversation):
        app.expect(visitor.ends, [exchange.app for exchange in case.exchanges])
    else:
        app.expect(visitor.ends, [case.app()])
    try:
        async with asyncio.timeout(TIMEOUT):
            if isinstance(case, Conversation):
                await _Talk(case, visitor, app, outcome).run()
            else:
                await _SocketTalk(case, visitor, app, outcome).run()
            await app.wait_ended(visitor.ends)
    except TimeoutError:
        outcome.trouble = "silence"
    except MalformedError as error:
        outcome.trouble = f"malformed: {error}"
    finally:
        await visitor.close()
        outcome.calls = app.forget(visitor.ends)
    return outcome


class _Talk:
    """Speaks HTTP."""

    def __init__(self, case: Conversation, visitor: Visitor, app: App, outcome: Outcome) -> None:
        self._case = case
        self._visitor = visitor
        self._app = app
        self._outcome = outcome

    async def run(self) -> None:
        """Go through the exchanges, then end as the case says."""
        case, visitor = self._case, self._visitor
        if case.is_pipelined:
            requests = [exchange.request for exchange in case.exchanges]
            probe = _PROBE.head() if case.end is End.PROBE else b""
            data = b"".join(one.head() + one.body.encoded() for one in requests)
            await visitor.send(data + probe, case.exchanges[0].cuts)
            if case.end is End.HALF_CLOSE:
                await visitor.end()
            for request in requests:
                if not await self._read(request):
                    return
        else:
            for number, exchange in enumerate(case.exchanges):
                is_last = number == len(case.exchanges) - 1
                if is_last and case.end not in (End.PROBE, End.HALF_CLOSE):
                    await self._leave(number, exchange)
                    return
                if not await self._exchange(
                    exchange, is_half=is_last and case.end is not End.PROBE
                ):
                    return
            if case.end is End.PROBE:
                await visitor.send(_PROBE.head())
        if case.end is End.PROBE:
            response = await visitor.response(b"GET")
            self._outcome.is_kept = response is not None
            if response is not None and (response.status, response.body) != (200, b"plain"):
                raise MalformedError(f"the next response is {response}")
        elif not await visitor.is_over():
            raise MalformedError("bytes behind the last response")

    async def _exchange(self, exchange: Exchange, *, is_half: bool) -> bool:
        """Send a request and read its response; whether another one may follow."""
        request, visitor = exchange.request, self._visitor
        body = request.body.encoded()
        interim: list[tuple[int, Fields]] = []  # before the body
        if request.expects_continue and body:
            await visitor.send(request.head(), exchange.cuts)
            found = await visitor.interim_or_final(request.method)
            while found is not None and 100 < found.status < 200:
                interim.append((found.status, found.fields))
                found = await visitor.interim_or_final(request.method)
            if found is None or found.status != 100:
                if found is not None:
                    found.interim = interim
                    await visitor.body(found)
                self._outcome.responses.append(found)
                return False  # nobody knows whether the body is still expected
            await visitor.send(body)
        else:
            await visitor.send(request.head() + body, exchange.cuts)
        if is_half:
            await visitor.end()
        return await self._read(request, interim)

    async def _read(self, request: Request, interim: Sequence[tuple[int, Fields]] = ()) -> bool:
        response = await self._visitor.response(request.method)
        if response is not None:
            response.interim[:0] = interim
        self._outcome.responses.append(response)
        return response is not None and response.is_complete

    async def _leave(self, number: int, exchange: Exchange) -> None:
        request, visitor, end = exchange.request, self._visitor, self._case.end
        head, body = request.head(), request.body.encoded()
        if end is End.LEAVE_IN_HEAD:
            await visitor.send(head[: len(head) // 2])
        elif end is End.LEAVE_IN_BODY:
            await visitor.send(head + body[: len(body) // 2], exchange.cuts)
            await self._reached(number, lambda call: call.receives > 0)
        else:
            waits = exchange.app.index(Read.DISCONNECT) + 1
            await visitor.send(head + body, exchange.cuts)
            if end is End.LEAVE_IN_RESPONSE:
                response = await visitor.interim_or_final(request.method)
                while response is not None and response.status < 200:
                    response = await visitor.interim_or_final(request.method)
                if response is None:
                    return
                await visitor.first_bytes(response)
            await self._reached(number, lambda call: call.actions >= waits)
        await visitor.reset()

    async def _reached(self, number: int, is_there: Callable[[Call], bool]) -> None:
        """Return when a call is so far, or the server has ended the connection before it."""
        waits = [
            asyncio.create_task(self._app.wait_until(self._visitor.ends, number, is_there)),
            asyncio.create_task(self._visitor.wait_ended()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.wait(waits)


class _SocketTalk:
    """Speaks WebSocket."""

    def __init__(self, case: Socket, visitor: Visitor, app: App, outcome: Outcome) -> None:
        self._case = case
        self._visitor = visitor
        self._app = app
        self._outcome = outcome
        self._received = 1  # messages that the app is to receive so far, with websocket.connect
        self._messages = 0  # that the visitor is to read so far
        self._pongs = 0

    async def run(self) -> None:
        """Do the handshake, go through the steps, and see the end."""
        case, visitor, outcome = self._case, self._visitor, self._outcome
        await visitor.send(case.request.head())
        response = await visitor.response(b"GET")
        outcome.responses.append(response)
        if response is None or response.status != 101:
            outcome.is_ended = await visitor.is_over() if response is None else None
            return
        if response.values(b"sec-websocket-accept") != [_ACCEPT]:
            raise MalformedError(f"a handshake of {response.fields}")
        if case.is_burst:
            for step in case.steps[:-1]:
                await self._say(step)
        for step in case.steps:
            if not case.is_burst or step is case.steps[-1]:
                await self._say(step)
            await self._hear(step)

    async def _say(self, step: object) -> None:
        visitor = self._visitor
        match step:
            case FromVisitor(Message() as message):
                await visitor.send(b"".join(_frames(message)))
            case FromVisitor(Close(code, reason)):
                await visitor.send(frame(8, _close_payload(code, reason)))
            case Ping(data):
                await visitor.send(frame(9, data))
            case Bad():
                await self._until_received()
                await visitor.send(_BAD[step])
            case Turn.LEAVE | Turn.FINISH:
                await self._until_received()
                await (visitor.reset() if step is Turn.LEAVE else visitor.end())
            case _:
                pass

    async def _until_received(self) -> None:
        """Return when the app has all that was sent: what follows makes some servers drop it."""
        enough = self._received
        await self._app.wait_until(self._visitor.ends, 0, lambda call: len(call.received) >= enough)

    async def _hear(self, step: object) -> None:
        outcome = self._outcome
        match step:
            case FromVisitor(Message(ping=ping)):
                self._received += 1
                if ping is not None:
                    await self._read(pongs=1)
            case FromApp(Message()):
                await self._read(messages=1)
            case Ping():
                await self._read(pongs=1)
            case Turn.LEAVE:
                pass
            case _:  # each of these ends it
                await self._read(close=True)
                outcome.is_ended = await self._visitor.is_over()

    async def _read(self, *, messages: int = 0, pongs: int = 0, close: bool = False) -> None:
        """Read until so many more are there, and write down all; a close is answered, and ends it.

        A message may come before the pong that is waited for, so both are counted from the start.
        """
        outcome = self._outcome
        self._messages += messages
        self._pongs += pongs
        while outcome.close is None and (
            close or len(outcome.messages) < self._messages or len(outcome.pongs) < self._pongs
        ):
            found = await self._visitor.frame()
            if found is None:
                return
            if found.opcode == 8:
                code = int.from_bytes(found.data[:2], "big") if found.data else 1005
                outcome.close = code, found.data[2:]
                await self._visitor.send(frame(8, found.data[:2]))
            elif found.opcode == 10:
                outcome.pongs.append(found.data)
            elif found.opcode in (1, 2):
                outcome.messages.append((found.opcode, found.data))


def _frames(message: Message) -> list[bytes]:
    """The frames of a visitor's message, with its ping behind the first."""
    parts = message.parts or (b"",)
    found = []
    for number, part in enumerate(parts):
        opcode = 0 if number else 1 if message.is_text else 2
        found.append(frame(opcode, part, fin=number == len(parts) - 1))
        if not number and message.ping is not None:
            found.append(frame(9, message.ping))
    return found


def _close_payload(code: int | None, reason: str | None) -> bytes:
    if code is None:
        return b""
    return code.to_bytes(2, "big") + (reason or "").encode()
