"""The address of this machine, and the ways around a door that there might be."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import httpx2 as httpx
import pytest
from edge.tests.dashboard.house import ADMIN, LOCAL, SHOP, House, house

from asgi_tunnel_edge.certificates.internal import create_internal_certificate


async def say(port: int, head: str) -> tuple[int, str]:
    """Send a request head as it stands; return the status and everything that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode())
    async with asyncio.timeout(10):
        text = (await reader.read()).decode("latin-1")
    writer.close()
    return (int(text.split()[1]) if text else 0), text


def port_of(one: House) -> int:
    """The port of this machine's own address."""
    assert one.edge.dashboard_address is not None
    return one.edge.dashboard_address.port


async def test_somebody_logs_in_at_localhost(tmp_path: Path) -> None:
    """The same pages and the same login, with a session of their own."""
    async with house(tmp_path, dashboard=LOCAL) as one:
        local = one.person(local=True)
        assert (await local.get("/")).status_code == 303
        await local.log_in("anna")
        assert "Overview" in (await local.get("/")).text
        response = await local.post("/tunnels/shop/drain")
        assert response.status_code == 303
        public = one.person()
        public.cookie = local.cookie
        assert (await public.get("/")).status_code == 303  # a session holds for one hostname


async def test_an_address_leads_to_the_name(tmp_path: Path) -> None:
    """Logins belong to a name; a program with its token may use the address."""
    async with house(tmp_path, dashboard=LOCAL) as one:
        for host in ("127.0.0.1", "[::1]", "127.9.9.9"):
            person = one.person(local=True, host=host)
            response = await person.get("/tunnels?q=a")
            assert response.status_code == 307
            where = f"http://localhost:{port_of(one)}/tunnels?q=a"
            assert response.headers["location"] == where
        person = one.person(local=True, host="127.0.0.1")
        person.fields = one.program().fields
        assert (await person.get("/tunnels")).status_code == 200
        person.fields = {"authorization": "Basic YTpi"}
        assert (await person.get("/tunnels", accept="*/*")).status_code == 401


@pytest.mark.parametrize(
    "host", [SHOP, ADMIN, "evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1"]
)
async def test_no_other_name_is_served_there(tmp_path: Path, host: str) -> None:
    """A site whose name leads to this machine (DNS rebinding) gets nothing, and no app is there."""
    async with house(tmp_path, dashboard=LOCAL) as one:
        person = one.person(local=True, host=host)
        response = await person.get("/")
        assert response.status_code == 404
        person.fields = one.program().fields
        assert (await person.get("/")).status_code == 404


async def test_localhost_is_nobody_at_the_public_address(tmp_path: Path) -> None:
    """The name of this machine is served on its own address only."""
    async with house(tmp_path, dashboard=LOCAL) as one:
        person = one.person(host="localhost")
        person.fields = one.program().fields
        assert (await person.get("/")).status_code == 404


WAYS_AROUND = {
    "absolute form": "GET http://{admin}/logs HTTP/1.1\nHost: {admin}\nConnection: close\n\n",
    "absolute form, other Host": "GET http://{admin}/logs HTTP/1.1\nHost: {shop}\n\n",
    "other name, absolute": "GET http://{shop}/logs HTTP/1.1\nHost: {admin}\n\n",
    "HTTP/1.0": "GET /logs HTTP/1.0\nHost: {admin}\n\n",
    "HTTP/1.0 without Host": "GET /logs HTTP/1.0\n\n",
    "two Host fields": "GET /logs HTTP/1.1\nHost: {shop}\nHost: {admin}\n\n",
    "upper case and a dot": "GET /logs HTTP/1.1\nHost: {upper}.\nConnection: close\n\n",
    "another port": "GET /logs HTTP/1.1\nHost: {admin}:1\nConnection: close\n\n",
    "X-Forwarded-Host": "GET /logs HTTP/1.1\nHost: nobody.example.test\n"
    "X-Forwarded-Host: {admin}\nForwarded: host={admin}\nConnection: close\n\n",
    "a visitor line of one's own": "GET /logs HTTP/1.1\nHost: {admin}\n"
    'asgi-tunnel-visitor: {{"subject":"user:anna"}}\nX-Remote-User: anna\nConnection: close\n\n',
    "WebSocket": "GET /live/logs HTTP/1.1\nHost: {admin}\nConnection: Upgrade\n"
    "Upgrade: websocket\nSec-WebSocket-Version: 13\nOrigin: http://{admin}\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n\n",
    "OPTIONS": "OPTIONS /logs HTTP/1.1\nHost: {admin}\nConnection: close\n\n",
    "OPTIONS *": "OPTIONS * HTTP/1.1\nHost: {admin}\nConnection: close\n\n",
    "HEAD": "HEAD /logs HTTP/1.1\nHost: {admin}\nConnection: close\n\n",
    "below the login": "GET /.well-known/asgi-tunnel/access/../../../logs HTTP/1.1\n"
    "Host: {admin}\nConnection: close\n\n",
    "static": "GET /static/style.css HTTP/1.1\nHost: {admin}\nConnection: close\n\n",
    "the inspector's line": "GET /logs HTTP/1.1\nHost: {admin}\n:inspect: 1\nConnection: close\n\n",
}


@pytest.mark.parametrize("way", WAYS_AROUND)
async def test_nobody_passes_beside_the_door(tmp_path: Path, way: str) -> None:
    """Each gets the login, a refusal or an app's page: no page of the dashboard."""
    async with house(tmp_path, dashboard=LOCAL) as one:
        head = WAYS_AROUND[way].format(admin=ADMIN, shop=SHOP, upper=ADMIN.upper())
        for port in (one.edge.address.port, port_of(one)):
            status, text = await say(port, head)
            assert status in (303, 400, 401, 403, 404, 405), text
            assert "Access log" not in text
            assert "--accent" not in text


async def test_an_open_stream_ends_with_the_login(tmp_path: Path) -> None:
    """Who is signed out sees nothing more, without asking for another page."""
    async with house(tmp_path) as one:
        anna, other = await one.somebody("anna"), await one.somebody("anna")
        request = anna.client.build_request("GET", "/live/overview", headers=anna._with({}))
        response = await anna.client.send(request, stream=True)
        assert response.status_code == 200
        parts = response.aiter_bytes()
        assert b"retry" in await anext(parts)
        await other.bare_post("/.well-known/asgi-tunnel/access/logout", {"everywhere": "1"})
        async with asyncio.timeout(15):
            with contextlib.suppress(httpx.TransportError):  # cut in the middle of the body
                async for _ in parts:
                    pass
        await response.aclose()


@pytest.mark.parametrize("server_name", [ADMIN, SHOP, "example.test", None])
async def test_the_name_of_a_handshake_opens_no_door(
    tmp_path: Path, server_name: str | None
) -> None:
    """Whatever TLS was made for: the Host decides who serves it, and the door stands there."""
    create_internal_certificate("example.test", tmp_path / "tls")
    async with house(tmp_path, None, tls={"mode": "internal"}) as one:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", one.edge.address.port, ssl=context, server_hostname=server_name or ""
        )
        writer.write(f"GET /logs HTTP/1.1\r\nHost: {ADMIN}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            text = (await reader.read()).decode("latin-1")
        writer.close()
        assert int(text.split()[1]) in (303, 401, 421), text
        assert "Access log" not in text
