"""The app behind every server: plays the script of its caller and writes down what it sees.

Nothing of a script travels in the request: it is found by both ends of the visitor's connection,
which its socket knows and the app has from ``scope["client"]`` and ``scope["server"]``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .script import (
    Accept,
    Action,
    Close,
    Deny,
    Hint,
    Message,
    Raise,
    Read,
    Send,
    Start,
    Trailers,
    Wrong,
)

Ends = tuple[str, int, int]
"""A connection: the visitor's address and port, and the listener's port."""


class ScriptedError(Exception):
    """What an app raises because its script says so."""


@dataclass
class Call:
    """One call of the app.

    Attributes:
        scope: As given.
        received: One entry for each message; bodies are joined up to what ends them.
        body: All bytes of the request.
        error: The type of what ``receive()`` or ``send()`` raised, and in which action.
        outcome: How the call ended.
    """

    scope: dict[str, Any]
    received: list[Any] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    error: str = ""
    outcome: str = "running"
    actions: int = 0  # begun so far
    receives: int = 0  # how often it has called receive()

    def note(self, message: dict[str, Any]) -> None:
        """Write down what came; where a body was cut is not kept."""
        kind = message["type"]
        if kind == "http.request":
            self.body += message["body"]
            more = message["more_body"]
            extra = sorted(set(message) - {"type", "body", "more_body"})
            entry = ("http.request", more, *extra)
            if not self.received or self.received[-1] != entry or not more:
                self.received.append(entry)
        else:
            self.received.append(dict(message))


class App:
    """One app for all servers; scripts are registered for a visitor's address before it sends."""

    def __init__(self) -> None:
        self._scripts: dict[Ends, list[tuple[Action, ...]]] = {}
        self.calls: dict[Ends, list[Call]] = defaultdict(list)
        self._changed = asyncio.Event()

    def expect(self, ends: Ends, scripts: list[tuple[Action, ...]]) -> None:
        """Play these scripts for the calls of one connection, in turn."""
        self.calls.pop(ends, None)  # of a connection before, whose port the kernel gives out again
        self._scripts[ends] = scripts

    def forget(self, ends: Ends) -> list[Call]:
        """Return the calls of a connection, and make room for the next one with its port."""
        self._scripts.pop(ends, None)
        return self.calls.pop(ends, [])

    async def wait_until(self, ends: Ends, number: int, reached: Callable[[Call], bool]) -> None:
        """Return when the call of this number is as far as this, or over."""
        while True:
            calls = self.calls.get(ends, [])
            if len(calls) > number:
                call = calls[number]
                if call.outcome != "running" or reached(call):
                    return
            self._changed.clear()
            await self._changed.wait()

    async def wait_ended(self, ends: Ends) -> None:
        """Return when no call of this connection runs any more."""
        while any(call.outcome == "running" for call in self.calls.get(ends, [])):
            self._changed.clear()
            await self._changed.wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Play a script."""
        ends = (*scope["client"], scope["server"][1])
        scripts = self._scripts.get(ends, [])
        calls = self.calls[ends]
        number = len(calls)
        call = Call(dict(scope))
        calls.append(call)
        self._changed.set()
        script = scripts[number] if number < len(scripts) else PLAIN
        player = _Player(call, receive, send, self._changed)
        try:
            for action in script:
                call.actions += 1
                self._changed.set()
                await player.play(action)
            call.outcome = "returned"
        except ScriptedError:
            call.outcome = "raised its own"
            raise
        except BaseException as error:
            call.outcome = "raised"
            call.error = f"{_family(error)} in {type(script[call.actions - 1]).__name__}"
            raise
        finally:
            self._changed.set()


PLAIN: tuple[Action, ...] = (Read.BODY, Start(200, ((b"content-length", b"5"),)), Send(b"plain"))
"""What the app does when nobody told it anything."""


def _family(error: BaseException) -> str:
    """Name what apps tell apart: the visitor has left, or the app made a mistake."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, OSError) or type(error).__name__ == "ClientDisconnected":
        return "disconnected"
    return "mistake"


class _Player:
    """Plays the actions of one call."""

    def __init__(self, call: Call, receive: Any, send: Any, changed: asyncio.Event) -> None:
        self._call = call
        self._receive = receive
        self._send = send
        self._changed = changed
        self._extensions = call.scope.get("extensions") or {}
        self._is_whole = False  # the body of the request was received
        self._is_complete = False  # the response was sent

    async def receive(self) -> dict[str, Any]:
        """Receive one message and write it down."""
        self._call.receives += 1
        self._changed.set()
        message: dict[str, Any] = await self._receive()
        self._call.note(message)
        self._is_whole = self._is_whole or message.get("more_body") is False
        self._changed.set()
        return message

    async def play(self, action: Action) -> None:
        """Do one thing."""
        match action:
            case Read():
                await self._read(action)
            case Start(status, fields, has_trailers):
                message: dict[str, Any] = {
                    "type": "http.response.start",
                    "status": status,
                    "headers": list(fields),
                }
                if has_trailers and "http.response.trailers" in self._extensions:
                    message["trailers"] = True
                await self._send(message)
            case Send(data, more):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
                self._is_complete = not more
            case Hint(links):
                if "http.response.early_hint" in self._extensions:
                    await self._send({"type": "http.response.early_hint", "links": list(links)})
            case Trailers(fields, more):
                if "http.response.trailers" in self._extensions:
                    message = {"type": "http.response.trailers", "headers": list(fields)}
                    await self._send({**message, "more_trailers": more})
            case Wrong(kind):
                await self._send({"type": kind})
            case Raise():
                raise ScriptedError
            case _:
                await self._play_websocket(action)

    async def _play_websocket(self, action: Action) -> None:
        match action:
            case Accept(subprotocol, fields):
                message: dict[str, Any] = {"type": "websocket.accept", "headers": list(fields)}
                if subprotocol is not None:
                    message["subprotocol"] = subprotocol
                await self._send(message)
            case Message(is_text=True):
                await self._send({"type": "websocket.send", "text": action.data.decode()})
            case Message():
                await self._send({"type": "websocket.send", "bytes": action.data})
            case Close(code, reason):
                message = {"type": "websocket.close"}
                if code is not None:
                    message["code"] = code
                if reason is not None:
                    message["reason"] = reason
                await self._send(message)
            case Deny(status, fields, bodies):
                kind = "websocket.http.response"
                await self._send(
                    {"type": f"{kind}.start", "status": status, "headers": list(fields)}
                )
                for number, body in enumerate(bodies, 1):
                    more = number < len(bodies)
                    await self._send({"type": f"{kind}.body", "body": body, "more_body": more})
            case _:
                pass

    async def _read(self, how: Read) -> None:
        if how is Read.TURN:
            await asyncio.sleep(0)
        elif how is not Read.DISCONNECT and self._is_whole and not self._is_complete:
            pass  # nothing would come before the visitor leaves
        elif how is Read.ONCE:
            await self.receive()
        else:
            while True:
                message = await self.receive()
                if message["type"].endswith(".disconnect"):
                    return
                if how is Read.BODY and not message.get("more_body", True):
                    return
