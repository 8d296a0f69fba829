"""The numbers of a real edge beside what its visitors and its app did."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tests.e2e.harness import wait_until

from asgi_tunnel.protocol.handshake import SUBPROTOCOL, TUNNEL_PATH
from asgi_tunnel_edge.admission.supervisor import STALL_CHECK
from asgi_tunnel_edge.metrics.families import FAMILIES, PREFIX, Values
from asgi_tunnel_edge.metrics.reader import MAX_CERTIFICATES, MetricsReader
from asgi_tunnel_edge.tokens import TokenRecord

if TYPE_CHECKING:
    from tests.commands.worlds import World

from .conftest import AWAY, PREVIEW, SHOP, Served, app


def test_there_is_a_value_of_each(served: Served) -> None:
    """What the page lists is there, and nothing else."""
    assert set(served.values()) == set(FAMILIES)


def test_requests(served: Served) -> None:
    """By hostname and status, with their time and their bytes."""
    before = served.values()
    assert [served.visit(SHOP, path) for path in ("/", "/", "/404", "/299")] == [200, 200, 404, 299]
    assert served.visit("x.preview.example.test", "/201", "POST") == 201
    assert served.visit("made-up.example.test") == 404
    after = served.values()

    def more(name: str, *labels: str) -> float:
        one, other = after[PREFIX + name][labels], before[PREFIX + name].get(labels, 0)
        if isinstance(one, list):
            assert isinstance(other, list)
            return sum(one[:-1]) - sum(other[:-1])
        assert not isinstance(other, list)
        return one - other

    assert more("requests_total", SHOP, "200") == 2
    assert more("requests_total", SHOP, "404") == 1
    assert more("requests_total", SHOP, "other") == 1
    assert more("requests_total", PREVIEW, "201") == 1
    assert more("requests_total", "other", "404") == 1
    assert more("request_methods_total", "GET") == 5
    assert more("request_methods_total", "POST") == 1
    assert more("request_duration_seconds", SHOP) == 4
    assert more("response_body_bytes_total", SHOP) == 40
    assert more("visitor_connections_opened_total") == 6
    assert more("tls_handshakes_total", "ok") == 6
    assert more("visitor_received_bytes_total") > 6 * 60
    assert more("visitor_sent_bytes_total") > 6 * 100
    assert more("tunnel_bytes_total") > 5 * 100


def test_bytes_are_counted_once(served: Served) -> None:
    """While a connection is open, and when it is gone: no byte twice."""
    port = served.world.edge.address.port
    trust = ssl.create_default_context(cafile=served.world.edge.config.certificate_path)
    trust.check_hostname = False
    before = served.number("visitor_received_bytes_total")
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trust)
    connection.request("POST", "/", body=bytes(50_000), headers={"Host": SHOP})
    connection.getresponse().read()
    open_ = served.number("visitor_received_bytes_total") - before
    assert 50_000 < open_ < 51_000
    connection.close()
    wait_until(lambda: served.number("visitor_connections") == 0, what="it is gone")
    assert served.number("visitor_received_bytes_total") - before == open_


def test_an_app_that_is_away(served: Served) -> None:
    """Its visitors wait, and are told so; which hostname it is stands in a gauge."""
    before = served.number("hold_duration_seconds", "timed_out")
    refused = served.number("refused_total", "offline")
    assert served.visit(AWAY) == 503
    assert served.number("hold_duration_seconds", "timed_out") == before + 1
    assert served.number("refused_total", "offline") == refused + 1
    assert served.number("requests_total", AWAY, "503") >= 1
    assert served.number("held_requests") == 0
    assert served.number("hostname_tunnels", AWAY) == 0
    assert served.number("hostname_tunnels", SHOP) == 1
    assert served.number("hostname_tunnels", PREVIEW) == 1


def test_tunnels(served: Served) -> None:
    """Those that come, lose their connection, go on, end, and are refused."""
    world = served.world

    def counts() -> list[float]:
        names = ("opened", "resumed", "ended")
        found = [served.number(f"tunnels_{name}_total") for name in names]
        return [*found, served.number("tunnel_connections_lost_total")]

    opened, resumed, ended, lost = counts()
    token = world.token("other", "other.example.test")
    with world.connected(token, app):
        assert served.number("tunnels", "connected") == 2
        assert served.number("hostname_tunnels", "other.example.test") == 1
        world.do(_cut(world, "other"))
        wait_until(lambda: counts()[1] == resumed + 1, what="it is back")
        assert counts() == [opened + 1, resumed + 1, ended, lost + 1]
    wait_until(lambda: counts()[2] == ended + 1, what="its session is over")
    assert served.number("tunnels", "connected") == 1
    unknown = served.number("tunnels_refused_total", "unknown")
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Protocol": SUBPROTOCOL,
        "Authorization": f"Bearer {token.format()[:-1]}",
    }
    world.do(_dial(world, fields))
    assert served.number("tunnels_refused_total", "unknown") == unknown + 1


async def _cut(world: World, name: str) -> None:
    (entry,) = [one for one in world.edge.directory.entries if one.token.name == name]
    transport = entry.session._transport
    assert transport is not None
    transport.abort()
    await asyncio.sleep(STALL_CHECK / 10)


async def _dial(world: World, fields: dict[str, str]) -> None:
    trust = ssl.create_default_context(cafile=world.edge.config.certificate_path)
    trust.check_hostname = False
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", world.edge.address.port, ssl=trust, server_hostname="example.test"
    )
    lines = [f"GET {TUNNEL_PATH} HTTP/1.1", "Host: example.test"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()


def test_handshakes_that_fail(served: Served) -> None:
    """By why: no TLS at all, HTTP without TLS, or nothing."""
    port = served.world.edge.address.port
    for data, result in (
        (b"\x16\x03\x01\x00\x05hello", "failed"),
        (b"GET / HTTP/1.1\r\n\r\n", "plain_http"),
        (b"", "left"),
    ):
        before = served.number("tls_handshakes_total", result)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        assert served.number("tls_handshakes_total", result) == before + 1, result
    wait_until(lambda: served.number("tls_handshakes_in_progress") == 0, what="all are gone")


def test_the_store_and_the_certificate(served: Served) -> None:
    """Tokens by state, the database's last look, and when the certificate ends."""
    world = served.world
    active, expired = served.number("tokens", "active"), served.number("tokens", "expired")
    world.store.create_token(
        TokenRecord(
            id="tok_old",
            name="old",
            secret_sha256="",
            hostnames=(),
            created_at=0,
            expires_at=1000,
        )
    )
    world.follow()
    assert served.number("tokens", "active") == active
    assert served.number("tokens", "expired") == expired + 1
    assert served.number("database_up") == 1
    assert abs(time.time() - served.number("database_read_timestamp_seconds")) < 30
    expiries = served.values()[f"{PREFIX}certificate_expiry_timestamp_seconds"]
    assert ("example.test",) in expiries
    assert all(isinstance(one, float) and one > time.time() for one in expiries.values())


def test_certificates_are_bounded(served: Served) -> None:
    """Those that expire first are shown."""
    exposition = served.world.edge.instruments.exposition
    assert exposition is not None
    reader = exposition.read.__self__  # type: ignore[attr-defined]
    assert isinstance(reader, MetricsReader)

    class Many:
        def expiries(self) -> dict[str, float]:
            return {f"{number}.test": 1000.0 - number for number in range(500)}

    values: Values = {}
    parts = reader._parts
    MetricsReader(replace(parts, certificates=cast(Any, Many())))._read_visitors(values)
    shown = values[f"{PREFIX}certificate_expiry_timestamp_seconds"]
    assert len(shown) == MAX_CERTIFICATES
    assert ("499.test",) in shown


def test_the_process(served: Served) -> None:
    """What a Prometheus knows of every program, and how late the loop's timer is."""
    values = served.values()
    assert values["process_open_fds"][()] > 3  # type: ignore[operator]
    assert values["process_resident_memory_bytes"][()] > 10_000_000  # type: ignore[operator]
    assert served.number("generation") == 1
    assert served.number("ready") == 1
    assert served.number("not_ready", "certificate") == 0
    before = served.number("event_loop_lag_seconds")
    wait_until(lambda: served.number("event_loop_lag_seconds") > before, what="another look")
