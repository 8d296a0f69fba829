"""The tunnel's transport between the event loop and its session."""

from __future__ import annotations

import asyncio
import sys

import pytest

from asgi_tunnel.transport import WebSocketTransport

uvloop = pytest.importorskip("uvloop")

PIECE = 128 * 1024
PIECES = 512

FILL = f"""
import socket, sys
message = bytes((0x82, 127)) + ({PIECE}).to_bytes(8, "big") + bytes({PIECE})
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer:
    for _ in range({PIECES}):
        peer.sendall(message)
"""
"""A peer in a process of its own, so that the socket fills while this one reads it."""


class Reads:
    """A session that notes in which turn of the loop its bytes came."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.turn = 0
        self.by_turn: dict[int, int] = {}
        self.done = asyncio.Event()

    def data_received(self, data: bytes | memoryview) -> None:
        """Count, as slowly as an app that does something with it."""
        self.by_turn[self.turn] = self.by_turn.get(self.turn, 0) + len(data)
        bytes(data).count(b"x")
        self.left -= len(data)
        if not self.left:
            self.done.set()

    def transport_writable(self) -> None:
        """Nothing waits."""

    def transport_lost(self, transport: object, error: Exception | None) -> None:
        """Nothing to resume."""


async def count_turns(reads: Reads) -> None:
    """Number the turns of the loop."""
    while True:
        reads.turn += 1
        await asyncio.sleep(0)


def test_socket_that_is_kept_full_does_not_keep_the_loop() -> None:
    """A bulk transfer gives the other sockets their turn after each long read."""

    async def main() -> Reads:
        reads = Reads(PIECE * PIECES)

        def accept() -> asyncio.Protocol:
            transport = WebSocketTransport(is_masking=True)
            transport.start(reads)
            return transport.as_protocol()

        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        counter = asyncio.create_task(count_turns(reads))
        peer = await asyncio.create_subprocess_exec(sys.executable, "-c", FILL, str(port))
        async with asyncio.timeout(30):
            await reads.done.wait()
            await peer.wait()
        counter.cancel()
        server.close()
        return reads

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reads = runner.run(main())
    # One read of uvloop is at most 256,000 bytes; one of less than 64 KiB may come before it.
    assert max(reads.by_turn.values()) <= 256_000 + 64 * 1024
