from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.asgi.memory import body, start, until
from tests.inspector.world import Inspected, describe

from asgi_tunnel.inspector import socket as door
from asgi_tunnel.inspector.app import InspectorApp
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.inspector.socket import MAX_CONNECTIONS, InspectorSocket


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Reply with hello."""
    await send(start())
    await send(body(b"hello"))


@asynccontextmanager
async def opened(folder: Path, tunnel: Inspected) -> AsyncIterator[InspectorSocket]:
    """A door to the tunnel's recorder."""
    one = InspectorSocket(folder, "1-a", InspectorApp(tunnel.recorder, describe))
    await one.open()
    try:
        yield one
    finally:
        one.close()


async def connect(one: InspectorSocket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to it."""
    return await asyncio.open_unix_connection(str(one.path))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection; whether it came without a reply."""
    try:
        return not await reader.read()
    except ConnectionError:
        return True


async def asked(
    one: InspectorSocket, method: str, target: str, sent: bytes = b""
) -> tuple[int, bytes]:
    """Return status and body of a reply."""
    reader, writer = await connect(one)
    writer.write(
        f"{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
    )
    writer.write(sent)
    data = await reader.read()
    writer.close()
    head, _, content = data.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), content


async def test_it_is_the_users_own(tmp_path: Path) -> None:
    """Nobody else may open it, and it goes with the process; closing it twice changes nothing."""
    tunnel = Inspected(hello)
    async with opened(tmp_path / "run", tunnel) as one:
        assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(one.path.parent.stat().st_mode) == 0o700
    one.close()
    assert not one.path.exists()


async def test_it_replies_as_the_tunnel_does(tmp_path: Path) -> None:
    """The same interface, with all that is kept, and what changes something is allowed."""
    tunnel = Inspected(hello)
    await tunnel.get("/a")
    tunnel.connector.on_stream = tunnel.origin.serve_end_to_end
    await tunnel.get("/private")
    async with opened(tmp_path, tunnel) as one:
        status, content = await asked(one, "GET", "/exchanges")
        found = json.loads(content)["exchanges"]
        assert (status, [x["path"] for x in found]) == (200, ["/private", "/a"])
        assert (await asked(one, "GET", f"/exchanges/{found[0]['id']}"))[0] == 200
        assert (await asked(one, "PUT", "/state", b'{"level":"off"}'))[0] == 200
        assert tunnel.recorder.level == "off"
        assert await asked(one, "DELETE", "/exchanges") == (204, b"")
        status, content = await asked(one, "GET", "/nothing")
        assert (status, list(json.loads(content))) == (404, ["error"])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /state HTTP/1.0\r\nhost: x\r\n\r\n", 400),
        (b"GET /state HTTP/1.1\r\n\r\n", 400),
        (b"GET /state HTTP/1.1\r\nx: " + 40_000 * b"y" + b"\r\n\r\n", 431),
        (b"POST /har HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n", 413),
    ],
)
async def test_what_is_no_request_is_refused(tmp_path: Path, sent: bytes, status: int) -> None:
    """With a status, and the connection ends."""
    async with opened(tmp_path, Inspected(hello)) as one:
        reader, writer = await connect(one)
        writer.write(sent)
        reply = await reader.read()
        writer.close()
        assert reply.startswith(b"HTTP/1.1 %d " % status)


async def test_live(tmp_path: Path) -> None:
    """What happens comes as it happens, and who closes leaves its place."""
    tunnel = Inspected(hello)
    async with opened(tmp_path, tunnel) as one:
        reader, writer = await connect(one)
        writer.write(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        await tunnel.get("/seen")
        assert b'"path":"/seen"' in await reader.readuntil(b'"/seen"')
        writer.close()
        await until(lambda: not tunnel.recorder.ring.journal.viewers, "the place was kept")


async def test_there_is_a_most_of_connections(tmp_path: Path) -> None:
    """One more is closed at once, and one that ends leaves its place."""
    async with opened(tmp_path, Inspected(hello)) as one:
        silent = [await connect(one) for _ in range(MAX_CONNECTIONS)]
        await until(lambda: len(one._tasks) == MAX_CONNECTIONS, "they were not accepted")
        reader, writer = await connect(one)
        assert await is_closed(reader)
        writer.close()
        silent.pop()[1].close()
        await until(lambda: len(one._tasks) < MAX_CONNECTIONS, "no place was freed")
        assert (await asked(one, "GET", "/state"))[0] == 200
        for _, left in silent:
            left.close()


async def test_who_does_not_send_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the connection ends."""
    monkeypatch.setattr(door, "READ_TIMEOUT", 0.05)
    async with opened(tmp_path, Inspected(hello)) as one:
        reader, writer = await connect(one)
        writer.write(b"GET /state HTTP/1.1\r\n")
        assert await is_closed(reader)
        writer.close()


async def test_who_does_not_read_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply of some megabytes waits for nobody, and the app serves on."""
    monkeypatch.setattr(door, "WRITE_TIMEOUT", 0.05)

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"text/plain")))
        for _ in range(40):
            await send(body(30_000 * b"x", more=True))
        await send(body())

    tunnel = Inspected(large, Inspect(level="full", max_body=1024 * 1024))
    await tunnel.get()
    async with opened(tmp_path, tunnel) as one:
        name = tunnel.recorder.id_of(1)
        _, writer = await connect(one)
        writer.write(f"GET /exchanges/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await until(lambda: one._tasks, "it was not accepted")
        assert (await tunnel.get("/next")).status == 200
        await until(lambda: not one._tasks, "it was waited for")
        writer.close()


async def test_a_folder_of_somebody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is opened where others may write; the log says so, and all else goes on."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    async with opened(folder, Inspected(hello)) as one:
        assert not one.path.exists()
    assert "others may write there" in caplog.text


async def test_it_is_closed_before_it_is_open(tmp_path: Path) -> None:
    """The process ends in the same moment: nothing is left."""
    one = InspectorSocket(tmp_path, "1-a", InspectorApp(Inspected(hello).recorder, describe))
    opening = asyncio.create_task(one.open())
    await asyncio.sleep(0)
    one.close()
    await asyncio.wait([opening])
    assert not one.path.exists()


async def test_who_looks_on_and_does_not_read_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one who asks for a page; no line of the log calls that an error."""
    monkeypatch.setattr(door, "WRITE_TIMEOUT", 0.05)
    monkeypatch.setattr(door, "WRITE_BUFFER", 1024)
    tunnel = Inspected(hello)
    async with opened(tmp_path, tunnel) as one:
        _, writer = await connect(one)
        writer.write(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: tunnel.recorder.ring.journal.viewers, "it did not look on")
        for _ in range(300):
            for _ in range(20):
                assert (await tunnel.get("/" + 500 * "x")).status == 200
            if not one._tasks:
                break
        assert not one._tasks
        assert not tunnel.recorder.ring.journal.viewers
        writer.close()
    assert "the inspector raised" not in caplog.text
