"""A visitor with one connection, as far as these tests need one."""

from __future__ import annotations

import asyncio

from edge.tests.live import SHOP, Answer, Live


class Client:
    """Asks one request after the other.

    Args:
        live: Whose visitor it is.
        host: The hostname.
    """

    def __init__(self, live: Live, *, host: str = SHOP) -> None:
        self._port = live.edge.address.port
        self._host = host
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self.is_stuck = False

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._writer.transport.abort()

    async def send(
        self, method: str, path: str, body: bytes = b"", *, is_chunked: bool = False
    ) -> None:
        """Send a request; ``is_stuck`` while its body is not taken."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        for start in range(0, len(body), 50_000):
            piece = body[start : start + 50_000]
            if is_chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            self._writer.write(piece)
            drain = asyncio.ensure_future(self._writer.drain())
            done, _ = await asyncio.wait([drain], timeout=1.0)
            self.is_stuck = not done
            await drain
            self.is_stuck = False
        if is_chunked:
            self._writer.write(b"0\r\n\r\n")

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, is_chunked: bool = False
    ) -> Answer:
        """Send a request and return the whole response."""
        await self.send(method, path, body, is_chunked=is_chunked)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """Return the next response."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
        fields = [(name.lower(), value) for name, _, value in (one.partition(": ") for one in rest)]
        answer = Answer(int(first.split()[1]), fields)
        if method == "HEAD":
            return answer
        length = answer.values("content-length")
        if length:
            answer.body = await self._reader.readexactly(int(length[0]))
        elif answer.values("transfer-encoding"):
            while size := int(await self._reader.readline(), 16):
                answer.body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
        return answer

    async def read_some(self) -> bytes:
        """Return some bytes of what has come; none: it has ended."""
        return await self._reader.read(65_536)

    async def read_until(self, text: bytes) -> bytes:
        """Return what comes up to some bytes."""
        return await self._reader.readuntil(text)
