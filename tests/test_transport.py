"""The tunnel's transport between the event loop and its session."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest
from websockets.utils import accept_key

from asgi_tunnel.dial import dial
from asgi_tunnel.pacing import CPUYield
from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.limits import TURN_FRAMES
from asgi_tunnel.transport import WebSocketCodec, WebSocketTransport
from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import (
    InternalCertificate,
    create_internal_certificate,
    fingerprint,
)

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
        self.is_behind = False

    def data_received(self, data: bytes | memoryview) -> None:
        """Count, as slowly as an app that does something with it."""
        self.by_turn[self.turn] = self.by_turn.get(self.turn, 0) + len(data)
        bytes(data).count(b"x")
        self.left -= len(data)
        if not self.left:
            self.done.set()

    def transport_writable(self) -> None:
        """Nothing waits."""

    def note_overhead(self, units: int) -> None:
        """There is none."""

    def transport_lost(self, transport: object, error: Exception | None) -> None:
        """Nothing to resume."""


async def count_turns(reads: Reads) -> None:
    """Number the turns of the loop."""
    while True:
        reads.turn += 1
        await asyncio.sleep(0)


def fill(cpu: CPUYield | None = None) -> Reads:
    """Let a transport read ``PIECES`` pieces as fast as a peer in another process sends them."""

    async def main() -> Reads:
        reads = Reads(PIECE * PIECES)

        def accept() -> asyncio.Protocol:
            transport = WebSocketTransport(is_masking=True, cpu=cpu)
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
        return runner.run(main())


def test_socket_that_is_kept_full_does_not_keep_the_loop() -> None:
    """A bulk transfer gives the other sockets their turn after each long read."""
    reads = fill()
    # One read of uvloop is at most 256,000 bytes; one of less than 64 KiB may come before it.
    assert max(reads.by_turn.values()) <= 256_000 + 64 * 1024


@pytest.mark.parametrize("somebody_clicks", [False, True])
def test_bulk_gives_the_core_away_while_somebody_clicks(*, somebody_clicks: bool) -> None:
    """After each long read; without a small exchange bulk keeps its core."""
    given: list[None] = []
    cpu = CPUYield(lambda: given.append(None), lambda: 0.0)  # no time passes
    if somebody_clicks:
        cpu.note_interactive()
    fill(cpu)
    if somebody_clicks:
        # A read is at most 256,000 bytes, and not each one is long.
        assert len(given) > PIECE * PIECES // 256_000 // 4
    else:
        assert given == []


SECRET = b"what an app answers " * 2_000


@pytest.mark.parametrize("size", [0, 5, 126, 70_000])
@pytest.mark.parametrize("step", [1 << 20, 1_000, 7])
@pytest.mark.parametrize("is_private", [False, True])
def test_codec_gives_back_what_it_was_given(size: int, step: int, is_private: bool) -> None:
    """Messages of any size, masked with a random key or with none, cut anywhere."""
    data = (SECRET * 2)[:size]
    header, payload = WebSocketCodec(is_masking=True, is_private=is_private).encode(data)
    wire = header + payload
    assert wire[1] & 0x80
    decoder = WebSocketCodec(is_masking=False)
    found: list[bytes | memoryview] = []
    for start in range(0, len(wire), step):
        pieces, answers, is_over = decoder.decode(wire[start : start + step])
        assert not answers
        assert not is_over
        found += pieces
    assert b"".join(found) == data


def test_many_websocket_frames_are_taken_in_turns() -> None:
    """T68: one call takes so many; the rest needs no more bytes, and what is tiny is counted."""
    decoder = WebSocketCodec(is_masking=False)
    wire = b"\x82\x81aaaa\x00" * (2 * TURN_FRAMES) + b"\x8a\x80aaaa" + b"\x82\x89aaaa" + bytes(9)
    found, _, _ = decoder.decode(wire)
    assert len(found) == TURN_FRAMES
    calls = 1
    while decoder.is_behind:
        found += decoder.decode(b"")[0]
        calls += 1
    assert calls == 3
    assert b"".join(found) == b"a" * (2 * TURN_FRAMES + 9)
    assert decoder.overhead == 2 * TURN_FRAMES + 1


def test_what_nobody_can_see_is_not_copied() -> None:
    """The key is 0 there, and both sides leave the bytes where they are."""
    header, payload = WebSocketCodec(is_masking=True, is_private=True).encode(SECRET)
    assert header[-4:] == bytes(4)
    assert payload is SECRET
    wire = header + payload
    (piece,), _, _ = WebSocketCodec(is_masking=False).decode(wire)
    assert isinstance(piece, memoryview)
    assert piece.obj is wire


@pytest.mark.parametrize(
    ("is_masking", "is_private"), [(False, False), (True, True), (True, False)]
)
@pytest.mark.parametrize("size", [20, 20_000, 200_000])
def test_pieces_are_one_message(size: int, is_masking: bool, is_private: bool) -> None:
    """They arrive as what they are together, and are copied only where they are masked."""
    large = bytes(range(250)) * (size // 250) + b"!"
    pieces: list[Buffer] = [b"small", large, memoryview(large)[1:]]
    sender = WebSocketCodec(is_masking=is_masking, is_private=is_private)
    encoded = sender.encode_pieces(pieces)
    receiver = WebSocketCodec(is_masking=not is_masking, is_private=is_private)
    found, _, _ = receiver.decode(b"".join(encoded))
    assert b"".join(found) == b"".join(pieces)
    assert receiver.is_between_frames
    assert any(one is large for one in encoded) == (is_private or not is_masking)


def test_each_message_has_a_key_of_its_own() -> None:
    """Where somebody may look, no byte passes as the app wrote it, and no key comes twice."""
    codec = WebSocketCodec(is_masking=True)
    wires = [b"".join(codec.encode(SECRET)) for _ in range(4)]
    assert len(set(wires)) == len(wires)
    assert all(SECRET[:20] not in wire for wire in wires)


async def keys_of(host: str, certificate: InternalCertificate | None = None) -> set[bytes]:
    """Dial an edge at this address, say something three times, and return the keys of that."""
    context = server_context(certificate.certificate, certificate.key) if certificate else None
    scheme = "ws" if context is None else "wss"
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(fields['Sec-WebSocket-Key'])}\r\n"
            f"Sec-WebSocket-Protocol: {fields['Sec-WebSocket-Protocol']}\r\n\r\n"
        )
        writer.write(answer.encode())
        heard.set_result(await reader.readexactly(3 * (2 + 4 + 5)))
        writer.close()

    async with asyncio.timeout(10):
        server = await asyncio.start_server(serve, host, 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        pins = [fingerprint(certificate.certificate.read_bytes())] if certificate else []
        transport = await dial(f"{scheme}://{host}:{port}", "token", pins=pins)
        for _ in range(3):
            transport.send(b"hello")
        wire = await heard
        transport.abort()
        server.close()
    return {wire[start + 2 : start + 6] for start in range(0, len(wire), 11)}


@pytest.fixture
def network_address() -> str:
    """An address of this machine that others could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no network address")
        return str(probe.getsockname()[0])


async def test_bytes_that_stay_on_this_machine_have_no_key() -> None:
    """Nobody is between an app and an edge on one machine."""
    assert await keys_of("127.0.0.1") == {bytes(4)}


async def test_bytes_inside_tls_have_no_key(network_address: str, tmp_path: Path) -> None:
    """What is encrypted is hidden already."""
    certificate = create_internal_certificate("example.test", tmp_path)
    assert await keys_of(network_address, certificate) == {bytes(4)}


async def test_bytes_that_leave_this_machine_without_tls_are_masked(network_address: str) -> None:
    """On a network, what lies between may look, and may be taken in by what it sees."""
    keys = await keys_of(network_address)
    assert len(keys) == 3
    assert bytes(4) not in keys
