"""A service that answers each request with the same five bytes, and does nothing else.

As uvicorn does, it writes head and body apart, when asked for.
"""

from __future__ import annotations

import argparse
import asyncio

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 10:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/plain\r\ncontent-length: 5\r\n\r\n"
)
BODY = b"hello"


class Service(asyncio.Protocol):
    """One connection; each read has whole requests."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces = pieces

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        for _ in range(data.count(b"\r\n\r\n")):
            for piece in self._pieces:
                self._transport.write(piece)  # type: ignore[attr-defined]


async def main() -> None:
    """Listen and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apart", action="store_true", help="head and body in two writes")
    options = parser.parse_args()
    pieces = (HEAD, BODY) if options.apart else (HEAD + BODY,)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Service(pieces), "127.0.0.1", 0)
    print(f"port {server.sockets[0].getsockname()[1]} ", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
