"""TLS on real sockets: the layer, and how a ClientHello decides (``acceptor``)."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.connections.limiter import ConnectionLimiter
from asgi_tunnel_edge.descriptors import DescriptorWatch
from asgi_tunnel_edge.listeners import acceptor
from asgi_tunnel_edge.listeners.acceptor import PassThrough, Terminate, TLSAcceptor
from asgi_tunnel_edge.listeners.client_hello import ClientHello
from asgi_tunnel_edge.listeners.sockets import listen

MIB = 1024 * 1024


class Limiter:
    """Lets everybody in and counts errors."""

    def __init__(self) -> None:
        self.errors = 0

    def admit(self, address: str) -> None:
        """Everybody may come in."""
        return

    def note_error(self, address: str) -> None:
        """Count it."""
        self.errors += 1


class Echo(asyncio.Protocol):
    """Sends back what comes; ``bye`` ends the stream, ``cut`` the connection."""

    def __init__(self) -> None:
        self.received = 0
        self.is_ended = asyncio.get_running_loop().create_future()
        self.is_lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Do what it says, or send it back."""
        self.received += len(data)
        if data == b"bye":
            self.transport.write_eof()
        elif data == b"cut":
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.writelines([data[:10], data[10:]])

    def eof_received(self) -> bool:
        """Keep the other direction."""
        self.is_ended.set_result(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.is_lost.set_result(exc) if not self.is_lost.done() else None


class World:
    """A listener with one certificate, and what it made."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.context = server_context(certificate, key)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self.limiter = Limiter()
        self.made: list[Echo] = []
        self.raw: list[Echo] = []
        self.clients: list[asyncio.StreamWriter] = []
        self.passed: asyncio.Queue[bytes] = asyncio.Queue()
        self.acceptor: TLSAcceptor
        self.is_made = asyncio.Event()
        self.port = 0

    def make(self) -> Echo:
        """Make what is spoken inside TLS."""
        self.made.append(Echo())
        self.is_made.set()
        return self.made[-1]

    def make_raw(self, data: bytes) -> Echo:
        """Make what gets the bytes as they are."""
        self.passed.put_nowait(data)
        self.raw.append(Echo())
        return self.raw[-1]

    def choose(self, hello: ClientHello) -> Terminate | PassThrough | None:
        """Decide by the name."""
        if hello.server_name == "home.example.org":
            return PassThrough(self.make_raw)
        if hello.protocols == (b"acme-tls/1",):
            return Terminate(self.context, None)
        if hello.server_name in ("example.org", None):
            return Terminate(self.context, self.make)
        return None

    async def dial(
        self, name: str = "example.org", version: ssl.TLSVersion | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection."""
        if version is not None:
            self.trust.minimum_version = self.trust.maximum_version = version
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trust, server_hostname=name
        )
        self.clients.append(writer)
        return reader, writer


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A real listener on a free port."""
    files = create_internal_certificate("example.org", folder)
    one = World(files.certificate, files.key)
    sockets = await listen("127.0.0.1", 0, backlog=128)
    acceptor = TLSAcceptor(
        one.choose,
        sockets,
        cast(ConnectionLimiter, one.limiter),
        plain_reply=lambda address: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        watch=DescriptorWatch(sockets[0].fileno()),
    )
    one.port = sockets[0].getsockname()[1]
    one.acceptor = acceptor
    acceptor.start()
    try:
        yield one
    finally:
        acceptor.stop()
        for sock in sockets:
            sock.close()
        for echo in one.made + one.raw:
            echo.transport.abort()
        for client in one.clients:
            client.transport.abort()
        for _ in range(5):  # turns of the loop until all are closed
            await asyncio.sleep(0)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs a test on either loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def start(test: Callable[..., object], folder: Path, *args: object) -> None:
        async def main() -> None:
            async with asyncio.timeout(30), world(folder) as one:
                await test(one, *args)  # type: ignore[misc]

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return start


Run = Callable[..., None]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_go_both_ways(run: Run, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Small and large, and larger than any buffer; the same on both versions of TLS."""

    async def test(one: World) -> None:
        reader, writer = await one.dial(version=version)
        for data in (b"x", b"y" * 4096, bytes(range(256)) * 40_000):
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
        writer.close()
        await one.made[0].is_ended
        one.made[0].transport.close()
        await one.made[0].is_lost

    run(test, tmp_path)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_half_ends_alone(run: Run, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Behind the end of the one direction the other one goes on, as over plain TCP."""

    async def test(one: World) -> None:
        one.trust.minimum_version = one.trust.maximum_version = version
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, talk, one) == b""
        await one.made[0].is_ended
        assert one.made[0].received == len(b"bye") + MIB
        one.made[0].transport.close()

    def talk(one: World) -> bytes:
        with socket.create_connection(("127.0.0.1", one.port), timeout=10) as plain:
            client = one.trust.wrap_socket(plain, server_hostname="example.org")
            client.sendall(b"bye")
            got = client.recv(100)
            client.sendall(bytes(MIB))
            client.unwrap()
            client.close()
        return got

    run(test, tmp_path)


def test_a_client_that_says_goodbye_still_reads(run: Run, tmp_path: Path) -> None:
    """The end of what it sends is heard, and what is written after that arrives."""

    async def test(one: World) -> None:
        def talk() -> bytes:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = one.trust.wrap_bio(incoming, outgoing, server_hostname="example.org")
            with socket.create_connection(("127.0.0.1", one.port), timeout=10) as plain:

                def step(call: Callable[[], object]) -> object:
                    while True:
                        try:
                            return call()
                        except ssl.SSLWantReadError:
                            if outgoing.pending:
                                plain.sendall(outgoing.read())
                            incoming.write(plain.recv(65536))

                step(client.do_handshake)
                client.write(b"hello")
                with pytest.raises(ssl.SSLWantReadError):
                    client.unwrap()
                plain.sendall(outgoing.read())
                plain.shutdown(socket.SHUT_WR)
                return cast(bytes, step(lambda: client.read(100)))

        loop = asyncio.get_running_loop()
        talking = loop.run_in_executor(None, talk)
        await one.is_made.wait()
        await one.made[0].is_ended
        one.made[0].transport.write(b"late")
        assert await talking in (b"hello", b"hellolate")
        one.made[0].transport.close()
        await one.made[0].is_lost

    run(test, tmp_path)


def test_a_slow_reader_pauses_the_writer(run: Run, tmp_path: Path) -> None:
    """What the socket does not take counts, and the protocol above hears of it."""

    async def test(one: World) -> None:
        reader, writer = await one.dial()
        writer.write(b"hello")
        await reader.readexactly(5)
        echo = one.made[0]
        paused: list[bool] = []
        is_resumed = asyncio.Event()
        echo.pause_writing = lambda: paused.append(True)  # type: ignore[method-assign]
        echo.resume_writing = is_resumed.set  # type: ignore[method-assign]
        echo.transport.set_write_buffer_limits(high=32768)
        data = bytes(16 * MIB)
        echo.transport.write(data)
        assert paused == [True]
        assert echo.transport.get_write_buffer_size() > MIB
        assert await reader.readexactly(len(data)) == data
        await is_resumed.wait()
        assert echo.transport.get_write_buffer_size() == 0
        writer.close()

    run(test, tmp_path)


def test_names_decide(run: Run, tmp_path: Path) -> None:
    """The certificate of a name, bytes as they are, a certificate and no more, or an alert."""

    async def test(one: World) -> None:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            await one.dial("other.test")
        assert one.limiter.errors == 1
        with socket.create_connection(("127.0.0.1", one.port)) as plain:
            hello = _hello_for("home.example.org")
            plain.sendall(hello + b"and more")
            assert await one.passed.get() == hello + b"and more"
        one.trust.set_alpn_protocols(["acme-tls/1"])
        reader, _ = await one.dial()
        assert await reader.read() == b""
        assert one.made == []
        counted = {name: count for name, count in one.acceptor.results.items() if count}
        assert counted == {"no_certificate": 1, "passed_through": 1, "ok": 1}

    run(test, tmp_path)


def test_who_is_too_slow_is_counted_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent, or after its ClientHello; and who has to go for another one."""
    monkeypatch.setattr(acceptor, "HANDSHAKE_TIMEOUT", 0.05)
    monkeypatch.setattr(acceptor, "MAX_HANDSHAKES", 1)

    async def test(one: World) -> None:
        for data in (b"", _hello_for("example.org")):
            reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
            writer.write(data)
            try:
                await reader.read()
            except ConnectionResetError:
                pass
            writer.close()
        assert (one.acceptor.results["timeout"], one.acceptor.results["failed"]) == (2, 0)
        monkeypatch.setattr(acceptor, "HANDSHAKE_TIMEOUT", 5.0)
        first, second = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(2)]
        assert await first[0].read() == b""
        for _, writer in (first, second):
            writer.close()
        assert one.acceptor.results["displaced"] == 1

    run(test, tmp_path)


def _hello_for(name: str) -> bytes:
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_dribbled_hello_is_served(run: Run, tmp_path: Path) -> None:
    """One byte a packet."""

    async def test(one: World) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = one.trust.wrap_bio(incoming, outgoing, server_hostname="example.org")
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0)
                incoming.write(await reader.read(65536))
            else:
                break
        writer.close()

    run(test, tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x40\x00" + bytes(65536),
        b"\x16\x03\x01\x00\x01\x01" * 10_000,
        bytes(65536),
        _hello_for("example.org")[:-1] + b"\xff" * 65536,
    ],
    ids=["zeros", "tiny records", "no TLS", "hello and noise"],
)
def test_rubbish_is_closed(run: Run, tmp_path: Path, data: bytes) -> None:
    """64 KiB of it cost an alert at the most, count as an error, and disturb nobody."""

    async def test(one: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(data)
        answer = b""
        try:
            answer = await reader.read()
        except ConnectionError:
            pass
        assert b"HTTP" not in answer
        writer.close()
        assert one.limiter.errors == 1
        reader, writer = await one.dial()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()

    run(test, tmp_path)


def test_a_session_is_resumed(run: Run, tmp_path: Path) -> None:
    """A second connection with the ticket of the first one needs no certificate."""

    async def test(one: World) -> None:
        def dial(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
            plain = socket.create_connection(("127.0.0.1", one.port), timeout=10)
            with one.trust.wrap_socket(
                plain, server_hostname="example.org", session=session
            ) as client:
                client.sendall(b"hello")
                assert client.recv(5) == b"hello"  # a ticket comes before it
                return client.session, client.session_reused

        loop = asyncio.get_running_loop()
        session, is_reused = await loop.run_in_executor(None, dial, None)
        assert not is_reused
        _, is_reused = await loop.run_in_executor(None, dial, session)
        assert is_reused

    run(test, tmp_path)


def test_an_idle_connection_is_small(run: Run, tmp_path: Path) -> None:
    """At most 25 KiB each, client's side in another process not counted."""

    async def test(one: World) -> None:
        count = 300
        client = await asyncio.create_subprocess_exec(
            "python3", "-c", _IDLE_CLIENTS, str(one.port), str(count),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert client.stdout is not None
        assert client.stdin is not None
        try:
            await client.stdout.readexactly(1)  # the first one is there, and what it loaded
            gc.collect()
            before = _memory()
            client.stdin.write(b"g")
            await client.stdout.readexactly(1)
            gc.collect()
            each = (_memory() - before) / count
        finally:
            client.kill()
            await client.wait()
        assert len(one.made) == count + 50
        assert each <= 25 * 1024, f"{each / 1024:.1f} KiB"

    run(test, tmp_path)


def _memory() -> int:
    """Bytes of resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()


_IDLE_CLIENTS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
port, count = map(int, sys.argv[1:])
held = []
def dial(count):
    for _ in range(count):
        plain = socket.create_connection(("127.0.0.1", port))
        client = context.wrap_socket(plain, server_hostname="example.org")
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        held.append(client)
    sys.stdout.write("1")
    sys.stdout.flush()
dial(50)
sys.stdin.read(1)
dial(count)
sys.stdin.read()
"""


def test_who_is_ended_as_its_transport_is_made_hears_of_it(run: Run, tmp_path: Path) -> None:
    """A connection that gives way in that very turn of the loop is lost, and its protocol knows."""

    async def test(one: World) -> None:
        class Evicted(Echo):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                one.acceptor.stop()

        def make(data: bytes) -> Echo:
            one.raw.append(Evicted())
            return one.raw[-1]

        one.make_raw = make  # type: ignore[method-assign]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await one.dial("home.example.org")
        assert await one.raw[0].is_lost is None

    run(test, tmp_path)


class Closed:
    """The transport of a socket that uvloop has closed without a word."""

    def write(self, data: object) -> None:
        """Refuse, as uvloop does."""
        raise RuntimeError("unable to perform operation; the handler is closed")

    writelines = write

    def is_closing(self) -> bool:
        """Nobody was told."""
        return False


@pytest.mark.plain  # a stand-in
@pytest.mark.parametrize("size", [1, MIB])
@pytest.mark.parametrize("is_many", [False, True])
def test_who_writes_to_a_lost_connection_is_not_harmed(
    run: Run, tmp_path: Path, size: int, is_many: bool
) -> None:
    """It may be another visitor's turn; the protocol hears that its connection is lost."""

    async def test(one: World) -> None:
        _, writer = await one.dial()
        writer.write(b"hello")
        await one.is_made.wait()
        echo = one.made[0]
        layer = cast(Any, echo.transport)
        raw, layer._raw = layer._raw, Closed()
        if is_many:
            layer.writelines([b"x" * size, b"y"])
        else:
            layer.write(b"x" * size)
        assert isinstance(await echo.is_lost, ConnectionResetError)
        layer.write(b"more")
        raw.abort()

    run(test, tmp_path)
