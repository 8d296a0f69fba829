"""The interface of every bus: four calls, and what a node hears of the others.

All of it runs in one event loop. A bus that is away changes nothing: the last state is kept, what
this node holds is said again when it is back, and :attr:`Bus.is_connected` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

__all__ = ["MAX_EVENT", "Bus", "BusListener", "Event", "Node", "decode_event", "encode_event"]

MAX_EVENT: Final = 4096
"""Bytes of an event as JSON; PostgreSQL's NOTIFY takes 8,000."""

Event = dict[str, Any]
"""What has happened: plain JSON whose ``kind`` names it; unknown kinds and keys are left out."""


class Node(Struct, frozen=True, kw_only=True):
    """One serving process, as the others know it.

    Attributes:
        id: Of this life of the process; unguessable, so that a later one is another node.
        edge: The name of its edge, ``node`` of ``edge.toml``; its workers have the same.
        worker: Which of the edge's workers, from 0.
        unix: The path of its socket for peers on the same machine; empty: none.
        peer: HOST:PORT of its listener for peers on other machines; empty: none.
        public: HOST:PORT where apps and visitors reach its edge; empty: not told.
        version: Of the software.
    """

    id: str
    edge: str = ""
    worker: int = 0
    unix: str = ""
    peer: str = ""
    public: str = ""
    version: str = ""


class BusListener(Protocol):
    """What a node hears; called in the event loop, never before ``Bus.start`` is awaited."""

    def nodes_changed(self) -> None:
        """:attr:`Bus.nodes` has others."""

    def holders_changed(self, hostname: str) -> None:
        """Another node holds a hostname from now on, or no longer.

        Buses that find on demand call it only for a hostname that was looked for a moment ago.
        """

    def node_gone(self, node_id: str) -> None:
        """A node is gone, by what the bus knows; nothing more is said of what it held.

        It may have lost the bus alone: a peer connection that works shows that it lives. It is
        among the nodes again when the bus hears of it again.
        """

    def happened(self, event: Event, node_id: str) -> None:
        """Another node has broadcast an event."""


class Bus(Protocol):
    """See the module. Forms: :mod:`.local`, :mod:`.parent`, :mod:`.postgresql`, :mod:`.nats`."""

    @property
    def nodes(self) -> Sequence[Node]:
        """The other nodes that are known now."""

    @property
    def is_connected(self) -> bool:
        """Whether what is held and broadcast now reaches the others."""

    async def start(self, listener: BusListener) -> None:
        """Join; once.

        Returns without the service, too, and goes on trying. Cancelling it leaves nothing.
        """

    async def stop(self) -> None:
        """Leave: what this node holds is released at once. May be called twice."""

    def hold(self, hostname: str) -> None:
        """This node has an app behind a hostname or wildcard; a second call changes nothing."""

    def release(self, hostname: str) -> None:
        """It has none any longer."""

    async def find(self, hostname: str) -> Sequence[Node]:
        """Return the other nodes that hold exactly this hostname or wildcard.

        Empty also when the bus is away and nothing is known. Takes 0.25 s at the most; cancelling
        it loses nothing.
        """

    def broadcast(self, event: Event) -> None:
        """Tell all others, once each and in this order; lost where the bus is away.

        Args:
            event: No more than :data:`MAX_EVENT` bytes as JSON.

        Raises:
            ValueError: It is larger, and nothing is sent.
        """


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return an event as JSON.

    Raises:
        ValueError: It is larger than :data:`MAX_EVENT`.
    """
    data = _encoder.encode(event)
    if len(data) > MAX_EVENT:
        raise ValueError(f"an event of {len(data)} bytes is larger than {MAX_EVENT} bytes")
    return data


def decode_event(data: bytes | str) -> Event:
    """Return the event of a JSON text.

    Raises:
        ValueError: It is no JSON object.
    """
    return _decoder.decode(data)
