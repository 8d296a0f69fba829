"""Visitors of several edges: `python -m tests.cluster.visitors SPEC LINES`.

They come until standard input ends. A visitor has the addresses of all edges, as DNS gives them,
and does what browsers do:

- No connection within :data:`CONNECT_TIMEOUT`, or a refused one: the next address, for each method.
- A GET whose connection ends before its response is complete, or that gets nothing for
  :data:`REPLY_TIMEOUT`: once more at each other address.
- A POST that was sent is never repeated. Whether it was executed, nobody can say: it is `unknown`.
- An address that has failed is the last choice for :data:`AVOIDED` seconds.
- An event stream or WebSocket that ends, or is silent for :data:`SILENCE`, is opened anew.

LINES gets a JSON array for each: kind, start, seconds, outcome, tries. For ``sse`` and ``ws`` the
start is when the last byte came before a loss, and the seconds are until the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

CONNECT_TIMEOUT: Final = 1.0
REPLY_TIMEOUT: Final = 3.0
POST_TIMEOUT: Final = 15.0
"""Seconds, longer than an edge lets a request wait for an app."""
AVOIDED: Final = 5.0
SILENCE: Final = 1.0
"""Seconds, of five events or echoes that have not come."""
GIVE_UP: Final = 20.0
"""Seconds until a visitor takes no for an answer."""


@dataclass(frozen=True)
class Spec:
    """What they do.

    Attributes:
        addresses: Of the edges.
        port: The same on all.
        hostnames: Of the apps.
        ca: PEM that the edges' certificate is trusted by.
        rate: GETs and POSTs a second, together.
        posts: The share of POSTs.
        streams: Event streams, and as many WebSockets.
        visitors: At the same time; each keeps its connection for GETs.
        name: Put before each POST's id.
    """

    addresses: list[str]
    port: int
    hostnames: list[str]
    ca: str
    rate: float
    posts: float
    streams: int
    visitors: int
    name: str


class EndedError(Exception):
    """The connection ended before a response was complete."""


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Visitors:
    """All of them.

    Args:
        spec: What they do.
        lines: Gets a line for each thing done.
    """

    def __init__(self, spec: Spec, lines: TextIO) -> None:
        self._spec = spec
        self._lines = lines
        self._context = ssl.create_default_context(cafile=spec.ca)
        self._avoided: dict[str, float] = {}
        self._numbers = itertools.count()
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        """Visit until standard input ends; what is in progress is finished."""
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: self._is_over.set())
        async with asyncio.TaskGroup() as group:
            for number in range(self._spec.visitors):
                group.create_task(self._visit(number))
            for number in range(self._spec.streams):
                group.create_task(self._listen(number))
                group.create_task(self._talk(number))

    def _note(self, kind: str, start: float, outcome: str, tries: int = 1) -> None:
        seconds = round(time.monotonic() - start, 4)
        self._lines.write(json.dumps([kind, round(start, 4), seconds, outcome, tries]) + "\n")
        self._lines.flush()

    def _order(self, number: int) -> list[str]:
        """Each address once: those that work first, and another first one for each visitor."""
        some = self._spec.addresses
        turned = [some[(number + step) % len(some)] for step in range(len(some))]
        now = time.monotonic()
        # Where all have failed lately, the one whose failure is the longest ago.
        return sorted(turned, key=lambda one: max(self._avoided.get(one, 0.0), now))

    def _avoid(self, address: str) -> None:
        self._avoided[address] = time.monotonic() + AVOIDED

    async def _connect(self, address: str, hostname: str) -> Connection:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await asyncio.open_connection(
                address, self._spec.port, ssl=self._context, server_hostname=hostname
            )

    async def _visit(self, number: int) -> None:
        every = self._spec.visitors / self._spec.rate
        await asyncio.sleep(every * number / self._spec.visitors)
        kept: dict[tuple[str, str], Connection] = {}
        due = time.monotonic()
        while not self._is_over.is_set():
            hostname = random.choice(self._spec.hostnames)
            if random.random() < self._spec.posts:
                await self._post(number, hostname)
            else:
                await self._get(number, hostname, kept)
            due = max(due + every, time.monotonic() - 1.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), max(due - time.monotonic(), 0.0))
        for _, writer in kept.values():
            writer.close()

    async def _get(
        self, number: int, hostname: str, kept: dict[tuple[str, str], Connection]
    ) -> None:
        head = f"GET /hello HTTP/1.1\r\nHost: {hostname}\r\n\r\n".encode()
        start, tries, outcome = time.monotonic(), 0, "none"
        while tries == 0 or (outcome != "200" and time.monotonic() - start < GIVE_UP):
            for address in self._order(number):
                tries += 1
                key = (address, hostname)
                try:
                    connection = kept.pop(key, None) or await self._connect(address, hostname)
                    try:
                        async with asyncio.timeout(REPLY_TIMEOUT):
                            outcome = await _ask(connection, head)
                    except BaseException:
                        connection[1].transport.abort()
                        raise
                except (OSError, TimeoutError, EndedError) as error:
                    outcome = type(error).__name__
                    self._avoid(address)
                    continue
                if len(kept) < 8:
                    kept[key] = connection
                else:
                    connection[1].close()
                break
            if outcome.isdigit():  # an edge's own word: a person sees it, and reloads or not
                break
        self._note("get", start, outcome, tries)

    async def _post(self, number: int, hostname: str) -> None:
        name = f"{self._spec.name}-{next(self._numbers)}"
        head = f"POST /count?id={name} HTTP/1.1\r\nHost: {hostname}\r\nContent-Length: 1\r\n\r\nx"
        start, tries, outcome = time.monotonic(), 0, "none"
        while time.monotonic() - start < GIVE_UP:
            for address in self._order(number):
                tries += 1
                try:
                    connection = await self._connect(address, hostname)
                except (OSError, TimeoutError) as error:
                    outcome = type(error).__name__
                    self._avoid(address)
                    continue
                try:
                    async with asyncio.timeout(POST_TIMEOUT):
                        outcome = await _ask(connection, head.encode())
                except (OSError, TimeoutError, EndedError):
                    outcome = "unknown"
                    self._avoid(address)
                connection[1].transport.abort()
                self._note("post", start, f"{outcome} {name}", tries)
                return
        self._note("post", start, f"{outcome} {name}", tries)

    async def _listen(self, number: int) -> None:
        """One event stream for ever."""
        hostname = self._spec.hostnames[number % len(self._spec.hostnames)]
        newest, last = -1, time.monotonic()
        was_lost = True
        while not self._is_over.is_set():
            address = self._order(number)[0]
            writer = None
            try:
                reader, writer = await self._connect(address, hostname)
                head = (
                    f"GET /events HTTP/1.1\r\nHost: {hostname}\r\nLast-Event-ID: {newest}\r\n\r\n"
                )
                writer.write(head.encode())
                async with asyncio.timeout(REPLY_TIMEOUT):
                    found = await reader.readuntil(b"\r\n\r\n")
                if found.split(b" ", 2)[1] != b"200":
                    self._note("sse-refused", last, found[9:12].decode("latin-1"))
                    await asyncio.sleep(0.2)
                    continue
                while not self._is_over.is_set():
                    async with asyncio.timeout(SILENCE if newest >= 0 else REPLY_TIMEOUT):
                        line = await reader.readline()
                    if not line:
                        break
                    if line.startswith(b"data: "):
                        if int(line[6:]) != newest + 1:
                            self._note("sse", last, f"out of order: {newest}, {line!r}")
                        if was_lost:
                            self._note("sse", last, "back" if newest >= 0 else "first")
                        newest, last, was_lost = int(line[6:]), time.monotonic(), False
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                self._avoid(address)
            finally:
                if writer is not None:
                    writer.transport.abort()
            was_lost = True
            await asyncio.sleep(0.05)

    async def _talk(self, number: int) -> None:
        """One WebSocket for ever."""
        hostname = self._spec.hostnames[-1 - number % len(self._spec.hostnames)]
        last, was_lost, said = time.monotonic(), True, 0
        while not self._is_over.is_set():
            address = self._order(number)[0]
            try:
                async with asyncio.timeout(REPLY_TIMEOUT):
                    socket = await connect(
                        f"wss://{hostname}/echo",
                        host=address,
                        port=self._spec.port,
                        ssl=self._context,
                        server_hostname=hostname,
                        ping_interval=None,
                        close_timeout=0.1,
                        proxy=None,
                    )
                try:
                    while not self._is_over.is_set():
                        said += 1
                        async with asyncio.timeout(SILENCE):
                            await socket.send(str(said))
                            heard = await socket.recv()
                        if heard != str(said):
                            self._note("ws", last, f"out of order: {said}, {heard!r}")
                        if was_lost:
                            self._note("ws", last, "back" if said > 1 else "first")
                        last, was_lost = time.monotonic(), False
                        await asyncio.sleep(0.2)
                finally:
                    socket.transport.abort()
            except (OSError, TimeoutError, WebSocketException):
                self._avoid(address)
            was_lost = True
            await asyncio.sleep(0.05)


async def _ask(connection: Connection, head: bytes) -> str:
    """Send a request, read its whole response; return the status.

    Raises:
        EndedError: The connection ended before.
        OSError: It broke.
    """
    reader, writer = connection
    writer.write(head)
    try:
        found = await reader.readuntil(b"\r\n\r\n")
        size = 0
        for line in found.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size = int(line[15:])
        await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise EndedError from error
    return found[9:12].decode("latin-1")


async def main(spec: dict[str, Any], lines: TextIO) -> None:
    """Run what the file says."""
    await Visitors(Spec(**spec), lines).run()


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w") as file:
        asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), file))
