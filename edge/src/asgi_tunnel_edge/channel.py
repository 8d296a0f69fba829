"""Messages between the parent and a serving process: one JSON object a line, over a socket pair.

Both ends are the edge's own code, of two versions while it is upgraded: a receiver leaves out keys
and kinds that it does not know. It imports little, because the parent has to stay small. Used by
:mod:`.parent` and :mod:`.supervision`.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any, Final

__all__ = ["MAX_MESSAGE", "Channel", "Message"]

MAX_MESSAGE: Final = 1024 * 1024
"""Bytes of one message: the largest carries ``edge.toml``, which has some 10 KiB."""

MAX_DESCRIPTORS: Final = 64
"""Descriptors that come with one message: a listening socket for each address of this machine."""

_READ: Final = 65536

Message = dict[str, Any]


class Channel:
    """One end; never blocks once it is made.

    Args:
        sock: A stream socket, connected; belongs to the channel from here on.

    Attributes:
        descriptors: Those that came and were not taken yet, in their order.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming = b""
        self._outgoing = b""
        self.descriptors: list[int] = []

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 once it is closed."""
        return self._sock.fileno()

    @property
    def has_output(self) -> bool:
        """Whether something waits until the other end reads."""
        return bool(self._outgoing)

    @property
    def waiting(self) -> int:
        """Bytes that wait until the other end reads."""
        return len(self._outgoing)

    @property
    def is_idle(self) -> bool:
        """Whether no part of a message is here, in either direction."""
        return not (self._incoming or self._outgoing or self.descriptors)

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        """Send a message; what does not leave at once leaves with :meth:`flush`.

        Args:
            message: With plain values.
            descriptors: Are sent with it, and stay open here. Only while nothing waits.

        Raises:
            OSError: The other end is gone.
            ValueError: It is larger than ``MAX_MESSAGE``, and nothing is sent.
        """
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(data) > MAX_MESSAGE:  # the other end would take it for nonsense
            raise ValueError(f"a message of {len(data)} bytes is larger than {MAX_MESSAGE} bytes")
        if descriptors:
            assert not self._outgoing
            handles = array.array("i", descriptors)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)]
            data = data[self._sock.sendmsg([data], ancillary) :]
        self._outgoing += data
        self.flush()

    def offer(self, message: Message, descriptors: list[int]) -> bool:
        """Send a message with descriptors, if the other end has room for all of it now.

        Args:
            message: With plain values; small.
            descriptors: Are sent with it, and stay open here.
        """
        if self._outgoing or self._sock.fileno() < 0:
            return False
        try:
            self.send(message, descriptors)
        except OSError:  # no room, or the other end is gone
            return False
        return True

    def flush(self) -> None:
        """Send what waits, as far as the other end has room.

        Raises:
            OSError: The other end is gone.
        """
        while self._outgoing:
            try:
                size = self._sock.send(self._outgoing)
            except (BlockingIOError, InterruptedError):
                return
            self._outgoing = self._outgoing[size:]

    def receive(self) -> list[Message] | None:
        """Return the messages that have come; None: the other end is gone, or talks nonsense."""
        try:
            data, ancillary, _, _ = self._sock.recvmsg(
                _READ, socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
            )
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                handles = array.array("i")
                handles.frombytes(payload[: len(payload) - len(payload) % handles.itemsize])
                for handle in handles:
                    os.set_inheritable(handle, False)
                self.descriptors += handles
        if not data:
            return None
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        if len(self._incoming) > MAX_MESSAGE:
            return None
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:
            return None
        return [one for one in messages if isinstance(one, dict)]

    def take_descriptors(self, count: int) -> list[int]:
        """Return the next descriptors that came; fewer where the system had no room for them."""
        taken, self.descriptors = self.descriptors[:count], self.descriptors[count:]
        return taken

    def close(self) -> None:
        """Close it; what waits is lost, and descriptors that nobody has taken are closed."""
        self._sock.close()
        for handle in self.take_descriptors(len(self.descriptors)):
            os.close(handle)
