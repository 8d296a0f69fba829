"""Programs that cannot log in, and a browser that can, by https at a real edge with a door."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import shutil
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from edge.tests.live import PLAIN, SHOP
from edge.tests.quick_password import quick_hash
from tests.e2e.ports import free_port
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.services.app import Services
from asgi_tunnel.token import Token
from asgi_tunnel_edge.accounts import ServiceTokenRecord, UserRecord
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

pytestmark = [pytest.mark.anyio, pytest.mark.plain]

PASSWORD: Final = "correct horse battery"
HASHED: Final = quick_hash(PASSWORD)
ACCESS: Final = "/.well-known/asgi-tunnel/access/"
PAIR: Final = {"asgi-tunnel-token-id": "svc_1", "asgi-tunnel-token-secret": "s3cret"}
SETTINGS: Final[dict[str, Any]] = {
    "access": {"family": {"users": ["anna"]}},
    "hostnames": {
        SHOP: {"access": "family", "access_paths": {"POST /hooks": "public"}},
        PLAIN: {"access": "family"},
        "localhost": {"access": "family"},
    },
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say what came; a WebSocket sends back."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message.get("more_body"):
            break
    said = {
        "method": scope["method"],
        "path": scope["path"],
        "sha256": hashlib.sha256(body).hexdigest(),
        "fields": {name.decode(): value.decode() for name, value in scope["headers"]},
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class World:
    """An edge that visitors reach by https, one user and one service token.

    Args:
        edge: Has started.
        certificate: Of the edge, for its visitors.
    """

    def __init__(self, edge: Edge, certificate: Path) -> None:
        self.port = edge.address.port
        self.store = AccessStore(edge.config.database_path)
        self.url = f"https://{SHOP}:{self.port}"
        self.certificate = certificate
        self.trust = ssl.create_default_context(cafile=str(certificate))

    async def curl(self, path: str, *words: str) -> tuple[int, str]:
        """Run curl; return the status and the body."""
        process = await asyncio.create_subprocess_exec(
            shutil.which("curl") or "curl",
            *("--silent", "--cacert", str(self.certificate), "--write-out", "\n%{http_code}"),
            *("--resolve", f"{SHOP}:{self.port}:127.0.0.1", *words, f"{self.url}{path}"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        body, _, status = out.decode().rpartition("\n")
        return int(status), body

    def client(self, **headers: str) -> httpx.AsyncClient:
        """An HTTP client that keeps cookies, as browsers do: `Secure` ones for https only."""
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=self.trust,
            headers={"host": f"{SHOP}:{self.port}", **headers},
        )

    def websocket(self, **more: Any) -> Any:
        """Open a WebSocket."""
        return connect(f"wss://{SHOP}:{self.port}/ws", host="127.0.0.1", ssl=self.trust, **more)


@asynccontextmanager
async def world(folder: Path, served: Any = app) -> AsyncIterator[World]:
    """An edge with a certificate of its own, and an app behind it."""
    table = {"domain": "example.test", "listen": "127.0.0.1:0", "tls": {"mode": "internal"}}
    config = EdgeConfig.from_table({**table, **SETTINGS}, folder)
    files = create_internal_certificate("example.test", folder / "tls")
    whole = Store(config.database_path)
    whole.migrate()
    record = TokenRecord(
        id="tok_1",
        name="shop",
        secret_sha256=secret_digest("s"),
        hostnames=(SHOP, PLAIN, "localhost"),
        created_at=0,
    )
    whole.create_token(record)
    store = AccessStore(config.database_path)
    store.create_user(UserRecord(name="anna"), password=HASHED)
    store.create_service_token(
        ServiceTokenRecord(
            id="svc_1", name="phone", secret_sha256=secret_digest("s3cret"), policies=("family",)
        )
    )
    edge = Edge(config)
    await edge.start()
    pin = fingerprint(files.certificate.read_bytes())
    token = Token(edge=f"wss://127.0.0.1:{edge.address.port}", id="tok_1", secret="s", pin=pin)
    settings = TunnelConfig(token=token, text=token.format(), grace=2.0)
    connector = Connector(settings, Origin(served))
    connector.start()
    try:
        await connector.wait_connected()
        yield World(edge, files.certificate)
    finally:
        await connector.stop()
        await edge.stop()


async def test_curl(tmp_path: Path) -> None:
    """As the command that makes a service token prints it, and by name and password."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"x" * 300_000)
    wanted = hashlib.sha256(file.read_bytes()).hexdigest()
    async with world(tmp_path) as one:
        assert (await one.curl("/"))[0] == 401
        fields = [word for name, value in PAIR.items() for word in ("-H", f"{name}: {value}")]
        for words in (fields, ["-u", "svc_1:s3cret"], ["--anyauth", "-u", "svc_1:s3cret"]):
            status, body = await one.curl("/dav/photo.jpg", *words, "-T", str(file))
            assert status == 200, words
            seen = json.loads(body)
            assert (seen["method"], seen["sha256"]) == ("PUT", wanted)
            assert not {*seen["fields"]} & {*PAIR, "authorization"}
        assert (await one.curl("/", "-u", "svc_1:wrong"))[0] == 401


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
async def test_webdav(tmp_path: Path) -> None:
    """A real server without users behind the door, and a real client with a service token."""
    here, there, back = (tmp_path / name for name in ("here", "there", "back"))
    (here / "ü ö").mkdir(parents=True)
    there.mkdir()
    (here / "big.bin").write_bytes(bytes(range(256)) * 4096)
    (here / "ü ö" / "é#%.txt").write_text("two")
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        "rclone", "serve", "webdav", str(there), "--addr", f"127.0.0.1:{port}", "--config", ""
    )
    try:
        async with world(
            tmp_path / "edge", Services({"localhost": f"http://127.0.0.1:{port}"})
        ) as one:
            process = await asyncio.create_subprocess_exec(
                *("rclone", "obscure", "s3cret"), stdout=asyncio.subprocess.PIPE
            )
            password = (await process.communicate())[0].decode().strip()
            address = f"https://localhost:{one.port}"
            who = ["--config", "", "--webdav-url", address, "--webdav-user", "svc_1"]
            who += ["--webdav-pass", password, "--retries", "1", "--no-check-certificate"]
            for source, target in ((str(here), ":webdav:"), (":webdav:", str(back))):
                copying = await asyncio.create_subprocess_exec(
                    *("rclone", "sync", source, target, *who)
                )
                assert await copying.wait() == 0
            wrong = await asyncio.create_subprocess_exec(
                *("rclone", "lsf", ":webdav:", *who, "--webdav-user", "svc_2"),
                stderr=asyncio.subprocess.PIPE,
            )
            assert b"401" in (await wrong.communicate())[1]
    finally:
        server.terminate()
        await server.wait()
    for folder in (there, back):
        for file in (path for path in here.rglob("*") if path.is_file()):
            assert (folder / file.relative_to(here)).read_bytes() == file.read_bytes()


async def test_curl_logs_in_as_a_browser_does(tmp_path: Path) -> None:
    """Its cookies come and go as in browsers: for this hostname, by https."""
    jar = str(tmp_path / "jar")
    async with world(tmp_path) as one:
        form = ["-d", "user=anna", "--data-urlencode", f"password={PASSWORD}", "-d", "to=/album"]
        words = [*form, "-H", f"Origin: {one.url}", "-c", jar]
        assert (await one.curl(f"{ACCESS}password", *words))[0] == 303
        status, body = await one.curl("/album", "-b", jar, "-c", jar)
        assert (status, json.loads(body)["path"]) == (200, "/album")
        assert "cookie" not in json.loads(body)["fields"]
        assert (await one.curl(f"{ACCESS}logout", "-d", "", *words[-4:], "-b", jar))[0] == 200
        assert (await one.curl("/album", "-b", jar))[0] == 401


async def test_a_webdav_client_waits_for_the_challenge(tmp_path: Path) -> None:
    """It asks without credentials first, and again with them once it hears of Basic."""
    async with world(tmp_path) as one:
        url = f"https://127.0.0.1:{one.port}/dav/"

        def ask() -> dict[str, Any]:
            known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            known.add_password(None, url, "svc_1", "s3cret")
            opener = urllib.request.build_opener(
                urllib.request.HTTPSHandler(context=one.trust),
                urllib.request.HTTPBasicAuthHandler(known),
            )
            fields = {"Host": f"{SHOP}:{one.port}", "Depth": "1"}
            request = urllib.request.Request(url, b"<a/>", fields, method="PROPFIND")
            with opener.open(request, timeout=10) as response:
                return dict(json.load(response))

        seen = await asyncio.to_thread(ask)
        assert (seen["method"], seen["path"]) == ("PROPFIND", "/dav/")
        assert seen["sha256"] == hashlib.sha256(b"<a/>").hexdigest()
        assert seen["fields"]["depth"] == "1"
        async with one.client() as client:
            for method in ("OPTIONS", "MKCOL", "LOCK", "MOVE", "DELETE"):
                response = await client.request(method, "/dav/x", auth=("svc_1", "s3cret"))
                assert response.json()["method"] == method


async def test_a_webhook_comes_whole(tmp_path: Path) -> None:
    """Its path and method are public; the signature verifies, for nothing was changed."""
    body = b'{"event": "paid"}'
    signature = hmac.new(b"shared", body, "sha256").hexdigest()
    async with world(tmp_path) as one, one.client() as client:
        fields = {"x-signature": signature, "content-type": "application/json"}
        response = await client.post("/hooks/pay", content=body, headers=fields)
        seen = response.json()
        assert seen["fields"]["x-signature"] == signature
        assert seen["sha256"] == hashlib.sha256(body).hexdigest()
        assert (await client.get("/hooks/pay")).status_code == 401


async def test_websockets(tmp_path: Path) -> None:
    """A program shows its token; a page its cookie and its own Origin, and no other."""
    async with world(tmp_path) as one, one.client(origin=one.url) as client:
        async with one.websocket(additional_headers=PAIR) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        form = {"user": "anna", "password": PASSWORD}
        done = await client.post(f"{ACCESS}password", data=form)
        cookie = {"cookie": done.headers["set-cookie"].partition(";")[0]}
        async with one.websocket(additional_headers=cookie, origin=one.url) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        for origin in (None, "https://evil.test", f"https://{PLAIN}:{one.port}"):
            with pytest.raises(InvalidStatus) as refused:
                await one.websocket(additional_headers=cookie, origin=origin)
            assert refused.value.response.status_code == 403
        with pytest.raises(InvalidStatus) as refused:
            await one.websocket()
        assert refused.value.response.status_code == 401


async def test_what_is_open_ends_with_its_login(tmp_path: Path) -> None:
    """A WebSocket of who signs out, or of a token that is revoked; nobody else's."""
    async with world(tmp_path) as one, one.client(origin=one.url) as client:
        form = {"user": "anna", "password": PASSWORD}
        cookies = []
        for _ in range(2):
            done = await client.post(f"{ACCESS}password", data=form, headers={"cookie": ""})
            cookies.append({"cookie": done.headers["set-cookie"].partition(";")[0]})
        async with (
            one.websocket(additional_headers=cookies[0], origin=one.url) as first,
            one.websocket(additional_headers=cookies[1], origin=one.url) as second,
            one.websocket(additional_headers=PAIR) as program,
        ):
            await client.post(f"{ACCESS}logout", headers=cookies[0])
            await asyncio.wait_for(first.wait_closed(), 5)
            one.store.revoke_service_token("phone")
            await asyncio.wait_for(program.wait_closed(), 5)
            await second.send("hello")
            assert await second.recv() == "hello"
            one.store.remove_user("anna")
            await asyncio.wait_for(second.wait_closed(), 5)


@pytest.mark.parametrize(("sni", "host"), [(PLAIN, SHOP), (SHOP, PLAIN), (PLAIN, PLAIN)])
async def test_the_name_of_a_connection_is_no_way_around(
    tmp_path: Path, sni: str, host: str
) -> None:
    """A session of one hostname, by a connection to the other, or at the other."""
    async with world(tmp_path) as one, one.client(origin=one.url) as client:
        done = await client.post(f"{ACCESS}password", data={"user": "anna", "password": PASSWORD})
        cookie = done.headers["set-cookie"].partition(";")[0]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", one.port, ssl=one.trust, server_hostname=sni
        )
        head = f"GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        passes = answer.startswith(b"HTTP/1.1 200")
        assert passes is (host == SHOP), answer  # the Host decides, as for every visitor
