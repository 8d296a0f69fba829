"""Fifty tenants on one edge: nobody ever gets another's answer (T28, T29)."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, running_edge, wait_until

from asgi_tunnel.token import Token
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, new_token_id, secret_digest

from .tenants_app import PIECES

_log = logging.getLogger(__name__)

TENANTS = 50
CONNECTIONS = 32
ABORTED = 0.2
"""Part of the requests whose visitor leaves while the answer comes."""

LONG = 1_000_000 if os.environ.get("HOSTILE_LONG") else 0
SHORT = 5_000


class Crowd:
    """Visitors that ask random tenants, check every byte of the answers, and often leave."""

    def __init__(self, port: int, requests: int) -> None:
        self.port = port
        self.left = requests
        self.right = self.aborted = 0
        self.wrong: list[bytes] = []
        self._random = random.Random(5)

    async def run(self) -> None:
        """Send all requests over ``CONNECTIONS`` connections at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._visit())

    async def _visit(self) -> None:
        while self.left > 0:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while self.left > 0 and await self._ask(reader, writer):
                    pass
            finally:
                writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask once; False when this visitor has left."""
        self.left -= 1
        tenant = self._random.randrange(TENANTS)
        nonce = self._random.getrandbits(64)
        host = b"t%d.example.test" % tenant
        writer.write(b"GET /%x HTTP/1.1\r\nHost: %s\r\n\r\n" % (nonce, host))
        if self._random.random() < ABORTED:
            self.aborted += 1
            if self._random.random() < 0.5:
                await reader.readline()
            return False
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        line = b"tenant%d %s /%x\n" % (tenant, host, nonce)
        if head.startswith(b"HTTP/1.1 200 ") and body == line * PIECES:
            self.right += 1
        else:
            self.wrong.append(head[:100] + body[:200])
        return True


def start_tenants(edge: Edge, folder: Path) -> subprocess.Popen[bytes]:
    """Make the tokens and the process that serves them."""
    store = Store(edge.folder / "edge.sqlite3")
    tokens = []
    for number in range(TENANTS):  # the command takes half a second for each
        secret = new_secret()
        record = TokenRecord(
            id=new_token_id(),
            name=f"t{number}",
            secret_sha256=secret_digest(secret),
            hostnames=(f"t{number}.example.test",),
            created_at=int(time.time()),
        )
        store.create_token(record)
        url = f"ws://127.0.0.1:{edge.port}"
        tokens.append(Token(edge=url, id=record.id, secret=secret).format())
    with (folder / "tenants.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("tenants_app.py"))],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    assert process.stdin is not None
    process.stdin.write("\n".join(tokens).encode())
    process.stdin.close()
    return process


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "requests",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=pytest.mark.hostile_long),
    ],
)
def test_no_answer_is_ever_another_tenants(tmp_path: Path, requests: int) -> None:
    """Of all answers over fifty tenants, a fifth of them given up, none is mixed up."""
    if not requests:
        pytest.skip("HOSTILE_LONG is not set")
    with running_edge(tmp_path) as edge:
        process = start_tenants(edge, tmp_path)
        try:
            log = tmp_path / "tenants.log"
            wait_until(lambda: b"ready" in log.read_bytes(), timeout=60, what="tenants are live")
            crowd = Crowd(edge.port, requests)
            asyncio.run(crowd.run())
            assert crowd.wrong == []
            _log.info("%d right, %d given up, 0 wrong", crowd.right, crowd.aborted)
            assert crowd.right + crowd.aborted == requests
            assert b"Traceback" not in log.read_bytes()
            assert "Traceback" not in edge.running.output
        finally:
            process.kill()
            process.wait()
