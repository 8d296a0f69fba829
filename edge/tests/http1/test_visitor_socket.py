"""When a visitor is read, and when others come first."""

from __future__ import annotations

import asyncio
from typing import cast

from asgi_tunnel_edge.http1.deadlines import Deadlines
from asgi_tunnel_edge.http1.visitor_socket import OVERHEAD_PACE, PACED_FROM, VisitorSocket
from asgi_tunnel_edge.settings.config import Limits


class Transport:
    """Notes whether it is read."""

    is_gone = False

    def __init__(self) -> None:
        self._is_reading = True
        self.resumed = asyncio.Event()

    def is_read(self) -> bool:
        """Whether it is read."""
        return self._is_reading

    def pause_reading(self) -> None:
        """Refuse to be paused twice, as a transport may."""
        assert self._is_reading
        self._is_reading = False
        self.resumed.clear()

    def resume_reading(self) -> None:
        """Refuse to be resumed twice."""
        assert not self._is_reading
        self._is_reading = True
        self.resumed.set()

    def is_closing(self) -> bool:
        """Whether it ends."""
        return self.is_gone


def _made() -> tuple[VisitorSocket, Transport, list[int]]:
    transport, rests = Transport(), list[int]()
    now = asyncio.get_running_loop().time
    deadlines = Deadlines(Limits(), now)
    socket = VisitorSocket(
        cast(asyncio.Transport, transport), deadlines, lambda: rests.append(len(rests))
    )
    return socket, transport, rests


async def test_the_others_come_first() -> None:
    """T67: it is not read in this turn; what is left is used in the next one, before more comes."""
    socket, transport, rests = _made()
    socket.yield_turn()
    socket.yield_turn()
    assert not transport.is_read()
    assert rests == []
    await asyncio.sleep(0)
    assert transport.is_read()
    assert rests == [0]


async def test_what_carries_nothing_is_read_at_a_pace() -> None:
    """T67: above some units in one read the next turn is not soon enough."""
    socket, transport, rests = _made()
    socket.yield_turn(PACED_FROM - 1)
    await asyncio.sleep(0)
    assert transport.is_read()
    start = asyncio.get_running_loop().time()
    socket.yield_turn(512)
    await transport.resumed.wait()
    assert asyncio.get_running_loop().time() - start >= 512 / OVERHEAD_PACE - 0.002
    assert rests == [0, 1]


async def test_who_is_paused_meanwhile_stays_so() -> None:
    """An app that takes no more, and a visitor that is gone, end the turn without a read."""
    socket, transport, rests = _made()
    socket.yield_turn()
    socket.pause()
    await asyncio.sleep(0)
    assert not transport.is_read()
    assert rests == []
    assert socket.resume()
    assert transport.is_read()
    socket.yield_turn()
    socket.pause()
    assert socket.resume()
    assert not transport.is_read()
    await asyncio.sleep(0)
    assert transport.is_read()
    socket.yield_turn()
    transport.is_gone = True
    await asyncio.sleep(0)
    assert not transport.is_read()
