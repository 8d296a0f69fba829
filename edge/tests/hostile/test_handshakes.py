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
from tests.e2e.harness import Edge, running_edge, wait_until

from asgi_tunnel_edge.listeners.tls import HANDSHAKE_SHARES, HANDSHAKE_TIMEOUT, MAX_HANDSHAKES


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
    """T41: of connections that say nothing those above an address's share are closed at once."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", edge.port)))
            for _ in range(MAX_HANDSHAKES + 60)
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

        above = len(silent) - HANDSHAKE_SHARES[0]
        wait_until(lambda: closed() >= above, timeout=3, what="those above the share are closed")
        assert closed() == above
        wait_until(lambda: closed() == len(silent), timeout=HANDSHAKE_TIMEOUT + 5)
    assert ask(edge) == 404


def test_peers_that_have_gone_cost_no_handshake(edge: Edge) -> None:
    """T54: after a thousand connections that were given up, the next visitor is served at once."""
    for _ in range(1000):
        socket.create_connection(("127.0.0.1", edge.port)).close()
    start = time.monotonic()
    assert ask(edge) == 404
    assert time.monotonic() - start < 2


def test_plain_http_on_the_tls_port_is_closed(edge: Edge) -> None:
    """T41: no answer leaks out in front of TLS, and the connection ends."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
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
