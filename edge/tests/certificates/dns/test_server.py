"""The delegated zone over real sockets, asked by ``dig`` and by sockets of our own."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
from edge.tests.certificates.dns.fakes import NAMED, bind9

from asgi_tunnel_edge.certificates.dns import server as module
from asgi_tunnel_edge.certificates.dns.server import DNSServer
from asgi_tunnel_edge.certificates.dns.zone import Zone
from asgi_tunnel_edge.errors import CertificateError

APEX = "_acme-challenge.example.org"
VALUE = "v" * 43
QUERY = dns.message.make_query(APEX, "TXT", id=0x0101)
DIG = shutil.which("dig")


class Clock:
    """Seconds that stand still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time of now."""
        return self.now


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1", *, values: int = 1, clock: Clock | None = None
) -> AsyncIterator[int]:
    """A server on a free port; gives the port."""
    zone = Zone(APEX, ["example.org"])
    zone.add(APEX, VALUE)
    for at in range(1, values):
        zone.add(APEX, chr(96 + at) * 200)
    server = DNSServer(zone, clock=clock) if clock else DNSServer(zone)
    port = await server.start(host, 0)
    try:
        yield port
    finally:
        await server.stop()


async def dig(port: int, *words: str) -> str:
    """What ``dig`` prints."""
    assert DIG is not None
    process = await asyncio.create_subprocess_exec(
        DIG, "-p", str(port), "+tries=1", "+timeout=5", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


def has_ipv6() -> bool:
    """Does this machine have ::1?"""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(DIG is None, reason="dig (bind9-dnsutils) is not installed")
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_dig(transport: str) -> None:
    """A real resolver's client gets the value, over UDP and TCP, with and without EDNS."""
    async with serving() as port:
        words = ("@127.0.0.1", transport, APEX, "TXT")
        out = await dig(port, *words)
        assert "status: NOERROR" in out
        assert "flags: qr aa rd;" in out
        assert f'"{VALUE}"' in out
        assert "EDNS: version: 0, flags:; udp: 1232" in out
        assert "Got bad packet" not in out
        assert f'"{VALUE}"' in await dig(port, *words, "+noedns")
        assert "status: REFUSED" in await dig(port, "@127.0.0.1", transport, "example.org", "A")
        assert "status: NXDOMAIN" in await dig(port, "@127.0.0.1", transport, f"x.{APEX}", "A")


@pytest.mark.skipif(DIG is None, reason="dig (bind9-dnsutils) is not installed")
async def test_dig_repeats_over_tcp() -> None:
    """What does not fit over UDP is truncated there, and whole over TCP."""
    async with serving(values=16) as port:
        out = await dig(port, "@127.0.0.1", APEX, "TXT")
        assert "Truncated, retrying in TCP mode" in out
        assert "ANSWER: 16" in out


@pytest.mark.skipif(NAMED is None, reason="named (bind9) is not installed")
async def test_a_real_resolver_follows_the_delegation(tmp_path: Path) -> None:
    """BIND asks the edge for what the zone above delegates, name by name (RFC 9156)."""
    zone = Zone(APEX, ["edge.example.org"])
    zone.add(APEX, VALUE)
    zone.add(f"shop.example.com.{APEX}", "below")
    for at in range(1, 16):
        zone.add(f"long.{APEX}", chr(96 + at) * 200)  # over TCP
    server = DNSServer(zone)
    try:
        await server.start("127.0.0.77", 53)
    except CertificateError as error:
        pytest.skip(f"resolvers ask port 53 only: {error}")
    records = "_acme-challenge NS edge\nedge A 127.0.0.77\n"
    try:
        async with _in_thread(bind9(tmp_path, records=records, recursion=True)) as port:
            for name, expected in (
                (APEX, 1),
                (f"shop.example.com.{APEX}", 1),
                (f"long.{APEX}", 15),
            ):
                query = dns.message.make_query(name.upper(), "TXT")
                reply, _ = await dns.asyncquery.udp_with_fallback(query, "127.0.0.1", 10, port)
                assert reply.rcode() == dns.rcode.NOERROR
                assert [len(rrset) for rrset in reply.answer] == [expected]
            for name, code in ((f"x.{APEX}", dns.rcode.NXDOMAIN), (APEX, dns.rcode.NOERROR)):
                reply = await dns.asyncquery.udp(
                    dns.message.make_query(name, "A"), "127.0.0.1", 10, port
                )
                assert (reply.rcode(), reply.answer) == (code, [])
    finally:
        await server.stop()


@asynccontextmanager
async def _in_thread(starting: AbstractContextManager[int]) -> AsyncIterator[int]:
    """A context manager that waits for another process."""
    found = await asyncio.to_thread(starting.__enter__)
    try:
        yield found
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_families(host: str) -> None:
    """``::`` answers over IPv4 and IPv6, on one port."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    async with serving("::") as port:
        for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
            reply = await ask(QUERY, host, port=port, timeout=5)
            assert len(reply.answer) == 1


async def test_replies_leave_from_where_the_query_came_to() -> None:
    """On a machine with several addresses a reply has the one that was asked as its source."""
    async with serving("0.0.0.0") as port:
        for host in ("127.0.0.1", "127.0.0.2", "127.9.9.9"):
            # dnspython drops what comes from another address, as resolvers do.
            reply = await dns.asyncquery.udp(QUERY, host, port=port, timeout=5)
            assert len(reply.answer) == 1


async def test_no_reply_to_junk() -> None:
    """Short datagrams and replies get nothing; the next query gets its reply."""
    async with serving() as port:
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))
            wire = QUERY.to_wire()
            for data in (b"", b"x", wire[:2] + b"\x80" + wire[3:], b"\xff" * 5000, wire):
                await loop.sock_sendall(sock, data)
            reply = await asyncio.wait_for(loop.sock_recv(sock, 4096), 5)
            assert QUERY.is_response(dns.message.from_wire(reply))
            assert len(dns.message.from_wire(reply).answer) == 1


async def test_reflection_is_slowed_down() -> None:
    """A network that gets replies too fast gets the TC flag at every second query, else nothing."""
    burst = module.RESPONSES.burst
    clock = Clock()
    async with serving(clock=clock) as port:
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))

            async def ask(number: int) -> dns.message.Message:
                query = dns.message.make_query(APEX, "TXT", id=number).to_wire()
                await loop.sock_sendall(sock, query)
                reply = await asyncio.wait_for(loop.sock_recv(sock, 4096), 5)
                assert reply[:2] == query[:2]
                return dns.message.from_wire(reply)

            async def fill() -> int:
                """Ask until a reply is truncated."""
                whole = 0
                while not (await ask(3)).flags & dns.flags.TC:
                    whole += 1
                    clock.now += 1e-3  # as fast as the bound of all senders lets it be
                return whole

            assert burst <= await fill() <= burst * 1.1
            for _ in range(burst):
                await loop.sock_sendall(sock, dns.message.make_query(APEX, "TXT", id=2).to_wire())
                clock.now += 2e-3
                reply = await ask(3)  # the one before got none
                assert reply.flags & dns.flags.TC
                assert not reply.answer
            assert (await dns.asyncquery.tcp(QUERY, "127.0.0.1", port=port, timeout=5)).answer
            clock.now += 60
            assert (await ask(1)).answer


async def test_all_senders_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the rate for all the socket is not read for a moment, and then again."""
    monkeypatch.setattr(module, "MAX_RATE", 3 / module.TURN)
    async with serving() as port:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for _ in range(10):
            await dns.asyncquery.udp(QUERY, "127.0.0.1", port=port, timeout=5)
        assert loop.time() - begin >= 2 * module.TURN


async def test_pipelined_queries() -> None:
    """Queries that come together are answered in their order, one that is cut in two as well."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wires = [dns.message.make_query(APEX, "TXT", id=at).to_wire() for at in range(5)]
        data = b"".join(len(wire).to_bytes(2) + wire for wire in wires)
        writer.write(data[:-7])
        await writer.drain()
        for at in range(4):
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            assert dns.message.from_wire(reply).id == at
        writer.write(data[-7:])
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        assert dns.message.from_wire(reply).id == 4
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\0",
        b"\0\x0b" + bytes(11),
        b"\xff\xff" + bytes(4096),
        b"\0\x0c\0\0\x80" + bytes(9),  # a reply
    ],
)
async def test_tcp_junk_ends_the_connection(sent: bytes) -> None:
    """A length that no query has, or a reply, closes the connection without a byte."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionResetError:
            pass  # closed before all of it was read
        writer.close()


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that sends nothing, or a byte now and then, is closed."""
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.05)
    async with serving() as port:
        for sent in (b"", b"\0", b"\0\x30ab"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            try:
                assert await asyncio.wait_for(reader.read(), 5) == b""
            except ConnectionResetError:
                pass  # closed before the bytes were read
            writer.close()


async def test_queries_of_a_connection_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its number of queries a connection is closed; another one may follow."""
    monkeypatch.setattr(module, "MAX_QUERIES", 3)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = QUERY.to_wire()
        writer.write((len(wire).to_bytes(2) + wire) * 3)
        data = await asyncio.wait_for(reader.read(), 5)
        assert data.count(VALUE.encode()) == 3
        writer.close()


async def test_connections_of_a_network_are_bounded() -> None:
    """One network has its share of connections; the oldest is closed for the newest."""
    share = module.SHARES[0]
    async with serving("0.0.0.0") as port:
        mine = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{at}", 0))
            for at in range(1, share + 2)
        ]
        other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.1.0.1", 0))
        try:
            assert await asyncio.wait_for(mine[0][0].read(), 5) == b""
        except ConnectionResetError:
            pass
        wire = QUERY.to_wire()
        for reader, writer in (*mine[1:], other):
            writer.write(len(wire).to_bytes(2) + wire)
            assert await asyncio.wait_for(reader.readexactly(2), 5)
        for _, writer in (*mine, other):
            writer.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_beside_another_resolver(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd-resolved has the port on 127.0.0.53, the other addresses are listened on."""
    monkeypatch.setattr(module, "own_addresses", lambda: ("127.0.0.88",))
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.53", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.53", port))
        zone = Zone(APEX, ["example.org"])
        zone.add(APEX, VALUE)
        server = DNSServer(zone)
        assert await server.start(host, port) == port
        reply = await dns.asyncquery.udp(QUERY, "127.0.0.88", port=port, timeout=5)
        assert len(reply.answer) == 1
        await server.stop()


async def test_a_port_that_is_taken() -> None:
    """The sentence names the address, systemd-resolved and the way out; nothing stays open."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = DNSServer(Zone(APEX, ["example.org"]))
        with pytest.raises(CertificateError, match=rf"DNS on 127\.0\.0\.1:{port} .*resolved.*"):
            await server.start("127.0.0.1", port)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.listen()
        with pytest.raises(CertificateError, match="another program has the port"):
            await server.start("127.0.0.1", port)
    assert await server.start("127.0.0.1", port) == port
    await server.stop()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EACCES, "Permission denied"), "CAP_NET_BIND_SERVICE"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign"), "does not have the address"),
        (OSError(errno.EMFILE, "Too many open files"), "choose another address"),
    ],
)
async def test_an_address_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    """Each reason has its way out. The kernel's error is made up: tests may run as root."""

    def refuse(*_: object) -> socket.socket:
        raise error

    monkeypatch.setattr(module, "_open_one", refuse)
    with pytest.raises(CertificateError, match=expected):
        await DNSServer(Zone(APEX, ["example.org"])).start("192.0.2.1", 53)


async def test_a_name_is_no_address() -> None:
    """Names are not looked up: the server of a name is what this is about."""
    with pytest.raises(CertificateError, match=r"no IP address.*\[::\]:53"):
        await DNSServer(Zone(APEX, ["example.org"])).start("example.org", 53)


def test_an_edge_without_dns_does_not_load_it() -> None:
    """The edge loads dnspython (0.2 s) with the solvers that ask; the zone needs none of it."""
    program = (
        "import sys, asgi_tunnel_edge.cli, asgi_tunnel_edge.server;"
        "import asgi_tunnel_edge.certificates.dns.server;"
        "import asgi_tunnel_edge.certificates.dns.delegated;"
        "sys.exit('dns' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
