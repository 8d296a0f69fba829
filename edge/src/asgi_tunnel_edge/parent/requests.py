"""Who asks the running edge: the clients of its control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .loop import Loop

if TYPE_CHECKING:
    from ..channel import Message

__all__ = ["Requests"]

MAX_CLIENTS: Final = 16
"""Clients at one time; more are closed at once: people and their scripts, one at a time."""

MAX_REQUEST: Final = 64 * 1024
"""Bytes of one request: a command's name and its options."""

IDLE_TIMEOUT: Final = 30.0
"""Seconds for a client to send a request, or to take a reply."""


class Requests:
    """Reads requests and sends replies.

    Args:
        loop: The parent's.
        sock: Listens; belongs to it.
        answer: Gets a request, and what to call with the reply, once.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        answer: Callable[[Message, Callable[[Message], None]], None],
    ) -> None:
        self.loop = loop
        self.answer = answer
        self._sock = sock
        self._clients: set[_Client] = set()
        loop.watch(sock.fileno(), self._accept)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected."""
        return not self._clients

    def fileno(self) -> int:
        """Return the descriptor that listens."""
        return self._sock.fileno()

    def close(self) -> None:
        """Listen no more; replies that are due go nowhere."""
        self.loop.forget(self._sock.fileno())
        self._sock.close()
        for client in list(self._clients):
            client.close()

    def left(self, client: _Client) -> None:
        """A client is gone."""
        self._clients.discard(client)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        self._clients.add(_Client(self, sock))


class _Client:
    """One client."""

    def __init__(self, requests: Requests, sock: socket.socket) -> None:
        self._requests = requests
        self._sock = sock
        self._incoming = b""
        self._outgoing = b""
        self._is_answering = False
        self._is_going_on = False
        self._timer = requests.loop.call_later(IDLE_TIMEOUT, self.close)
        self._watch()

    def close(self) -> None:
        """Close it; may be called twice."""
        if self._sock.fileno() >= 0:
            self._timer.cancel()
            self._requests.loop.forget(self._sock.fileno())
            self._sock.close()
            self._requests.left(self)

    def _watch(self) -> None:
        self._requests.loop.watch(self._sock.fileno(), self._turn, writing=bool(self._outgoing))

    def _turn(self) -> None:
        try:
            self._send()
            data = self._sock.recv(MAX_REQUEST)
        except (BlockingIOError, InterruptedError):
            self._go_on()
            return
        except OSError:
            self.close()
            return
        self._incoming += data
        if not data or len(self._incoming) > MAX_REQUEST:
            self.close()
            return
        self._go_on()

    def _send(self) -> None:
        if self._outgoing:
            self._outgoing = self._outgoing[self._sock.send(self._outgoing) :]

    def _go_on(self) -> None:
        """Answer the next requests, each once the reply to the one before has left."""
        self._is_going_on = True
        while self._sock.fileno() >= 0 and not (self._is_answering or self._outgoing):
            line, end, rest = self._incoming.partition(b"\n")
            if not end:
                break
            self._incoming = rest
            self._answer(line)
        self._is_going_on = False
        if self._sock.fileno() >= 0:
            self._watch()

    def _answer(self, line: bytes) -> None:
        self._is_answering = True
        self._timer.cancel()
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict) and isinstance(request.get("command"), str):
            self._requests.answer(request, self._reply)
        else:
            self._reply({"ok": False, "error": "a request is an object with a command"})

    def _reply(self, reply: Message) -> None:
        if self._sock.fileno() < 0:
            return  # who asked has gone
        self._is_answering = False
        self._timer = self._requests.loop.call_later(IDLE_TIMEOUT, self.close)
        self._outgoing = json.dumps(reply).encode() + b"\n"
        try:
            self._send()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.close()
            return
        if not self._is_going_on:
            self._go_on()
