"""Floods in front of TLS: half handshakes, peers that have gone, plain HTTP (T41, T54)."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.e2e.harness import Edge, allowed, running_edge, wait_until

from asgi_tunnel_edge.listeners.acceptor import HANDSHAKE_SHARES, HANDSHAKE_TIMEOUT, REFUSED_LINGER


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A real edge with TLS of its own."""
    with running_edge(tmp_path_factory.mktemp("tls"), tls="internal") as running:
        yield running
        assert "Traceback" not in running.running.output


def ask(edge: Edge) -> int:
    """The status of one request over TLS for a name nobody serves."""
    trust = ssl.create_default_context(cafile=str(edge.folder / "tls" / "certificate.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", edge.port, context=trust, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": "nobody.test"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_half_handshakes_are_bounded_and_short(edge: Edge) -> None:
    """T41: of one address's silent connections those above its share are closed at once."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", edge.port)))
            for _ in range(HANDSHAKE_SHARES[0] + 60)
        ]

        def closed() -> int:
            count = 0
            for one in silent:
                one.setblocking(False)
                try:
                    count += one.recv(1) == b""
                except BlockingIOError:
                    continue
                except OSError:
                    count += 1
            return count

        wait_until(lambda: closed() >= 60, timeout=3, what="those above the share are closed")
        assert closed() == 60
        wait_until(lambda: closed() == len(silent), timeout=HANDSHAKE_TIMEOUT + 5)
    assert ask(edge) == 404


def test_peers_that_have_gone_cost_no_handshake(edge: Edge) -> None:
    """T54: after a thousand connections that were given up, the next visitor is served at once."""
    for _ in range(1000):
        socket.create_connection(("127.0.0.1", edge.port)).close()
    start = time.monotonic()
    assert ask(edge) == 404
    assert time.monotonic() - start < allowed(2, start)


@pytest.mark.parametrize("body", [b"", b"x" * 200_000], ids=["bare", "with a body"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS"])
def test_plain_http_on_the_tls_port_is_told_so(edge: Edge, method: bytes, body: bytes) -> None:
    """One answer that names https, then the end; it is not lost to a reset."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as plain:
        plain.sendall(
            b"%s / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: %d\r\n\r\n%s"
            % (method, len(body), body)
        )
        answer = b"".join(iter(lambda: plain.recv(1024), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    head, _, said = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(said) in head
    assert said.count(b"\n") == 1
    assert b"https://" in said
    assert ask(edge) == 404


@pytest.mark.parametrize(("size", "pause"), [(65536, 0.0), (1, 0.1)], ids=["bytes", "seconds"])
def test_plain_http_that_does_not_leave_is_ended(edge: Edge, size: int, pause: float) -> None:
    """Who reads no answer and goes on sending is cut, after bytes or seconds."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n")
        start = time.monotonic()
        is_cut = False
        while not is_cut and time.monotonic() - start < REFUSED_LINGER + 5:
            try:
                plain.sendall(b"x" * size)
            except ConnectionError:
                is_cut = True
            time.sleep(pause)
    assert is_cut
    assert ask(edge) == 404


def test_bytes_of_no_protocol_get_no_answer(edge: Edge) -> None:
    """T41: what is neither TLS nor HTTP is closed, and nothing that is HTTP leaks out."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as plain:
        plain.sendall(b"\x00\x01\x02\x03\x04\x05\x06\x07")
        answer = b""
        try:
            while data := plain.recv(1024):
                answer += data
        except ConnectionError:
            pass
    assert not answer.startswith(b"HTTP/")
    assert ask(edge) == 404


def test_edge_with_half_handshakes_stops(edge: Edge) -> None:
    """Handshakes in progress hold no stop back; the edge starts again on its port."""
    silent = [socket.create_connection(("127.0.0.1", edge.port)) for _ in range(20)]
    assert edge.running.stop(signal.SIGTERM, timeout=15) == 0
    for one in silent:
        one.close()
    edge.start()
    assert ask(edge) == 404


def test_a_crowd_behind_one_address_is_served(edge: Edge) -> None:
    """256 visitors who connect at once, before any of them says a byte, all get their handshake."""
    trust = ssl.create_default_context(cafile=str(edge.folder / "tls" / "certificate.pem"))
    trust.check_hostname = False
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", edge.port), timeout=30))
            for _ in range(256)
        ]
        for one in crowd:
            with trust.wrap_socket(one, server_hostname="localhost") as inside:
                inside.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert inside.recv(12) == b"HTTP/1.1 404"
