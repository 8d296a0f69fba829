"""The serving process's side of its parent: what it inherits, what it says, what it is asked.

``commands.run`` attaches to the parent, if there is one; ``server`` takes the sockets from here and
hands new ones over. The process ends with its parent, however that ends: SIGKILL included.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from asgi_tunnel.errors import TunnelError

from . import __version__
from .channel import Channel, Message

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ParentLink", "SocketSource"]

_log = logging.getLogger("asgi_tunnel_edge.server")

_VARIABLE: Final = "ASGI_TUNNEL_EDGE_PARENT"  # as parent.worker has it

_MAX_CONFIG: Final = 512 * 1024
"""Characters of settings that the parent keeps for a replacement, which else reads the file."""

ASK_TIMEOUT: Final = 3.0
"""Seconds for the other serving processes to reply; the parent gives them 2."""

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class SocketSource:
    """Sockets that somebody else holds, by name; without a parent there are none.

    Args:
        held: Descriptors by name, as ``parent.held`` has them.

    Attributes:
        used: The names that this process listens on.
    """

    def __init__(self, held: dict[str, list[int]] | None = None) -> None:
        self._held = {} if held is None else held
        self.used: list[str] = []

    def take(self, purpose: str, address: str) -> list[socket.socket]:
        """Return the sockets for an address; empty where nobody holds any.

        Args:
            purpose: "listen", "http_listen", "dns", "dashboard" or "metrics".
            address: As the settings have it. What was opened for port 0 is found under the port
                that it got, too.
        """
        for name in (f"{purpose} {address}", purpose):
            if name in self._held:
                return self._take(name)
        for name, handles in self._held.items():
            kind, _, asked = name.rpartition(" ")
            is_ours = kind == purpose and asked.endswith(":0")
            if is_ours and f"{asked[:-2]}:{_port_of(handles[0])}" == address:
                return self._take(name)
        return []

    def opened(self, purpose: str, address: str, sockets: Sequence[socket.socket]) -> None:
        """Note sockets that this process has opened itself."""
        self.used.append(f"{purpose} {address}")

    def _take(self, name: str) -> list[socket.socket]:
        self.used.append(name)
        found = []
        for handle in self._held[name]:
            sock = socket.socket(fileno=os.dup(handle))
            sock.setblocking(False)
            found.append(sock)
        return found


class ParentLink(SocketSource):
    """The channel to the parent.

    Args:
        channel: To it.
        start: The first message, which says what is inherited.

    Attributes:
        config: The text of the settings to serve with; None: those of the file.
        text: Of the settings that this process has read.
        worker: Which of its generation's processes this is, from 0.
        workers: How many there are; 0 until worker 0 has read it in its settings.
    """

    def __init__(self, channel: Channel, start: Message) -> None:
        super().__init__({name: list(handles) for name, handles in start["sockets"].items()})
        self.config: str | None = start.get("config")
        self.text = ""
        self.generation = int(start.get("generation", 1))
        # A parent of a version that knows of one process says nothing of them.
        self.worker = int(start.get("worker", 0))
        self.workers = int(start.get("workers", 1))
        self._kinds: dict[str, Callable[[Message], None]] = {"said": self._on_said}
        self._questions: dict[int, tuple[list[Message], asyncio.Future[list[Message]]]] = {}
        self._next = 0
        self._channel = channel
        self._loop: asyncio.AbstractEventLoop | None = None  # once it serves
        self._error = int(start.get("error", -1))  # the real standard error, while this is a trial
        for handle in [one for handles in self._held.values() for one in handles]:
            os.set_inheritable(handle, False)

    @classmethod
    def attach(cls) -> ParentLink | None:
        """Return the link to the parent; None where there is none."""
        text = os.environ.pop(_VARIABLE, "")
        if not text.isdecimal():
            return None
        os.set_inheritable(int(text), False)
        _end_with_parent()
        channel = Channel(socket.socket(fileno=int(text)))
        messages: list[Message] | None = []
        while messages == []:
            select.select([channel.fileno()], [], [])
            messages = channel.receive()
        if messages is None:
            sys.exit(1)  # the parent is gone already
        return cls(channel, messages[0])

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Tell the parent in one sentence why this process ends before it serves."""
        try:
            yield
        except TunnelError as error:
            self.failed(str(error))
            raise

    def failed(self, sentence: str) -> None:
        """Say why this process cannot serve."""
        self._send({"type": "failed", "error": sentence})

    def commit(self) -> None:
        """The code could be imported, and the settings read: what is printed now is for the log."""
        if self._error >= 0:
            os.dup2(self._error, 2)
            os.close(self._error)
            self._error = -1

    def opened(self, purpose: str, address: str, sockets: Sequence[socket.socket]) -> None:
        """Hand sockets that this process has opened to the parent."""
        super().opened(purpose, address, sockets)
        handles = [sock.fileno() for sock in sockets]
        names = {f"{purpose} {address}": len(handles)}
        with contextlib.suppress(OSError):
            self._channel.send({"type": "sockets", "names": names}, handles)

    def ready(self, *, folder: Path, addresses: list[str], drain_timeout: float) -> None:
        """Say that this process serves.

        Args:
            folder: The edge's.
            addresses: Where it listens.
            drain_timeout: Seconds that it leaves to the process before it.
        """
        for handle in [one for handles in self._held.values() for one in handles]:
            os.close(handle)  # the listeners have copies of those that are used
        self._held = {}
        self._send(
            {
                "type": "ready",
                "version": __version__,
                "folder": str(folder.absolute()),
                "addresses": addresses,
                "sockets": self.used,
                "workers": self.workers,
                "config": self.text if len(self.text) <= _MAX_CONFIG else None,
                "drain_timeout": drain_timeout,
            }
        )

    def serve(self, answer: Callable[[Message], Awaitable[Message]]) -> None:
        """Answer what the parent asks, from now on.

        Args:
            answer: Gets a request; returns the reply.
        """
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()

        async def reply(number: object, request: Message) -> None:
            try:
                self.send({"type": "reply", "id": number, "reply": await answer(request)})
            except Exception:  # noqa: BLE001
                # The task's outer edge: who asked must hear that there is no reply, and why.
                _log.exception("%s was not answered by a defect", request.get("command"))
                failed = {"ok": False, "error": "the edge failed to answer; its log says why"}
                self.send({"type": "reply", "id": number, "reply": failed})

        def on_readable() -> None:
            messages = self._channel.receive()
            if messages is None:
                os.kill(os.getpid(), signal.SIGKILL)  # the parent is gone, and its sockets are
            for message in messages or ():
                kind = message.get("type")
                if kind == "ask":
                    task = loop.create_task(reply(message.get("id"), message["request"]))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                elif kind in self._kinds:
                    self._kinds[kind](message)

        self._loop = loop
        loop.add_reader(self._channel.fileno(), on_readable)
        self._watch()

    def on(self, kind: str, callback: Callable[[Message], None]) -> None:
        """Let ``callback`` have messages of a kind, besides those that this class knows."""
        self._kinds[kind] = callback

    @property
    def waiting(self) -> int:
        """Bytes that the parent has not taken yet."""
        return self._channel.waiting

    def send(self, message: Message) -> None:
        """Say something to the parent; one that is gone hears nothing.

        Raises:
            ValueError: It is larger than ``channel.MAX_MESSAGE``.
        """
        self._send(message)
        self._watch()

    def pass_on(self, sock: socket.socket, address: str, data: bytes) -> bool:
        """Let the parent choose who serves a connection; return whether it has taken it.

        Args:
            sock: Accepted; stays the caller's, who closes it.
            address: Of the peer.
            data: What was read from it.
        """
        message = {"type": "spread", "address": address, "data": base64.b64encode(data).decode()}
        is_taken = self._channel.offer(message, [sock.fileno()])
        self._watch()
        return is_taken

    def on_connection(self, callback: Callable[[socket.socket, str, bytes], None]) -> None:
        """Let ``callback`` have connections that other processes have accepted, as above."""

        def take(message: Message) -> None:
            for handle in self._channel.take_descriptors(1):
                sock = socket.socket(fileno=handle)
                sock.setblocking(False)
                callback(sock, message["address"], base64.b64decode(message["data"]))

        self.on("take", take)

    async def ask_others(self, request: Message) -> list[Message]:
        """Ask the other serving processes of this edge; return what each says, and which it is.

        Those that leave are among them. One that does not reply is there with ``replies`` False.

        Args:
            request: Its ``command`` says what is asked for, and ``worker``, where it is there,
                which one of this generation is asked.
        """
        number = self._next = self._next + 1
        future: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        self._questions[number] = ([], future)
        self.send({"type": "ask", "id": number, "request": request})
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                return await future
        except TimeoutError:
            return self._questions[number][0]
        finally:
            del self._questions[number]

    def _on_said(self, message: Message) -> None:
        found, future = self._questions.get(message["id"], ([], None))
        if message["worker"] is not None:
            found.append(message["worker"])
        elif future is not None and not future.done():
            future.set_result(found)

    def _watch(self) -> None:
        if self._loop is None:
            return
        if self._channel.has_output:
            self._loop.add_writer(self._channel.fileno(), self._on_writable)
        else:
            self._loop.remove_writer(self._channel.fileno())

    def _on_writable(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.flush()
        self._watch()

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):
            self._channel.send(message)


def _port_of(handle: int) -> int:
    with socket.socket(fileno=os.dup(handle)) as sock:
        name = sock.getsockname()
    return int(name[1]) if isinstance(name, tuple) else 0


def _end_with_parent() -> None:
    """Let the kernel end this process with its parent; elsewhere the closed channel does."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # a libc without it
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
