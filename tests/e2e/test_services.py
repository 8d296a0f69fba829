"""Stock programs, unchanged, behind the table of one tunnel and a real edge."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .harness import BIN, Edge, Process, running_edge, spawn, wait_until
from .ports import free_port
from .visitor import Head, ask_json, visiting

pytestmark = pytest.mark.e2e

FASTAPI = """
import asyncio, hashlib, os
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()

@app.get("/who")
def who(request: Request) -> dict:
    return {"url": str(request.url), "client": request.client.host, "pid": os.getpid()}

@app.post("/upload")
async def upload(request: Request) -> dict:
    found = hashlib.sha256()
    async for piece in request.stream():
        found.update(piece)
    return {"sha256": found.hexdigest()}

@app.get("/events")
async def events() -> StreamingResponse:
    async def generate():
        yield "data: one\\n\\n"
        await asyncio.sleep(60)
    return StreamingResponse(generate(), media_type="text/event-stream")

@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
"""

NODE = """
require("http").createServer((request, response) => {
  if (request.url == "/events") {
    response.writeHead(200, {"content-type": "text/event-stream"});
    response.write("data: one\\n\\n");
    request.on("close", () => console.log("visitor left"));
  } else {
    response.end(JSON.stringify({host: request.headers.host,
      address: request.headers["x-forwarded-for"], proto: request.headers["x-forwarded-proto"]}));
  }
}).listen(0, "127.0.0.1", function () { console.log("port " + this.address().port + " "); });
"""

NGINX = """
daemon off; master_process off; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off; gzip on; gzip_min_length 100; gzip_types text/plain;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen unix:{folder}/nginx.sock;
    root {folder}/www;
    location = /connection {{ return 200 "$connection $connection_requests $host"; }}
  }}
}}
"""


UVICORN_READY = "Uvicorn running on"


class World:
    """An edge, a tunnel with its table, and the programs behind it."""

    def __init__(self, edge: Edge, folder: Path) -> None:
        self.edge = edge
        self.folder = folder
        self.ports: dict[str, int] = {}
        self.processes: dict[str, Process] = {}

    def get(self, path: str, *fields: tuple[str, str], method: str = "GET") -> tuple[Head, bytes]:
        """Ask once, over a connection of its own."""
        with visiting(self.edge) as visitor:
            visitor.ask(path, *fields, method=method)
            head = visitor.read_head()
            body = b"" if method == "HEAD" or head.status == 304 else visitor.read_body(head)
        return head, body


def _service(path: str, to: str, *more: str) -> str:
    lines = ["[[services]]", 'hostname = "shop.example.test"', f'path = "{path}"', f'to = "{to}"']
    return "\n".join([*lines, *more, "strip = true", ""])


@contextmanager
def running(world: World, name: str, command: list[str]) -> Iterator[Process]:
    """A program, ended by its process id."""
    process = world.processes[name] = spawn(command, world.folder, cwd=world.folder)
    try:
        yield process
    finally:
        if process.is_alive():
            process.kill()


def start_uvicorn(world: World) -> Process:
    """Start the FastAPI app, or start it again on its port; wait for UVICORN_READY."""
    port = world.ports.setdefault("fastapi", free_port())
    command = [str(BIN / "uvicorn"), "shop_api:app", "--port", str(port), "--no-access-log"]
    process = spawn([*command, "--log-level", "info"], world.folder, cwd=world.folder)
    world.processes["fastapi"] = process
    return process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of it, started side by side."""
    folder = tmp_path_factory.mktemp("services")
    (folder / "www").mkdir()
    (folder / "www" / "long.txt").write_text("photo " * 1000)
    (folder / "shop_api.py").write_text(FASTAPI)
    (folder / "shop.js").write_text(NODE)
    with ExitStack() as stack:
        world = World(Edge(folder), folder)
        table: list[str] = []
        start_uvicorn(world)
        stack.callback(lambda: world.processes["fastapi"].kill())  # noqa: PLW0108 - the last one
        if shutil.which("node"):
            stack.enter_context(running(world, "node", ["node", "shop.js"]))
        command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"]
        stack.enter_context(running(world, "python", [*command, "--directory", "www"]))
        edge = world.edge = stack.enter_context(running_edge(folder))
        if "node" in world.processes:
            port = world.processes["node"].find(r"port (\d+)")
            table.append(_service("/node", f"http://127.0.0.1:{port}"))
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        if nginx:
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
            command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
            stack.enter_context(running(world, "nginx", command))
            wait_until((folder / "nginx.sock").exists, what="nginx listens")
            table.append(_service("/nginx", f"unix:{folder}/nginx.sock"))
        port = world.processes["python"].find(r"Serving HTTP on .* port (\d+)")
        table.append(_service("/python", f"http://127.0.0.1:{port}"))
        world.processes["fastapi"].wait_for(UVICORN_READY)
        table.append(_service("/fastapi", f"http://127.0.0.1:{world.ports['fastapi']}"))
        table.append(_service("/folder", "./www", "listing = true"))
        table.append(_service("/inside", "shop_api:app"))
        (folder / "asgi-tunnel.toml").write_text("\n".join(table))
        token = edge.create_token("shop")
        app = spawn(
            [str(BIN / "asgi-tunnel"), "run"],
            folder,
            cwd=folder,
            env={"ASGI_TUNNEL_TOKEN": token.token},
        )
        world.processes["app"] = app
        stack.callback(app.stop)
        app.wait_for("is live")
        yield world


def test_python_s_own_server(world: World) -> None:
    """HTTP/1.0, a connection for each request: files, and a redirect below the stripped path."""
    head, body = world.get("/python/long.txt")
    assert (head.status, body) == (200, b"photo " * 1000)
    assert world.get("/python/nothing")[0].status == 404
    assert world.get("/python/long.txt", method="HEAD")[0].get("content-length") == "6000"


@pytest.mark.parametrize("path", ["/fastapi", "/inside"])
def test_an_app_on_uvicorn_and_the_same_app_inside(world: World, path: str) -> None:
    """Uploads, events as they are sent, WebSockets: no difference but where it runs."""
    found = ask_json(world.edge, f"{path}/who")
    assert found["client"] == "127.0.0.1"
    data = bytes(range(256)) * 8192
    with visiting(world.edge) as visitor:
        visitor.ask(f"{path}/upload", ("Content-Length", str(len(data))), method="POST", body=data)
        head = visitor.read_head()
        expected = {"sha256": hashlib.sha256(data).hexdigest()}
        assert json.loads(visitor.read_body(head)) == expected
        visitor.ask(f"{path}/upload", ("Transfer-Encoding", "chunked"), method="POST")
        for at in range(0, len(data), 100_000):
            visitor.send_chunk(data[at : at + 100_000])
        visitor.send_chunk(b"")
        assert json.loads(visitor.read_body(visitor.read_head())) == expected
        visitor.ask(f"{path}/events")
        assert visitor.read_head().get("content-type") == "text/event-stream; charset=utf-8"
        assert visitor.read_chunk() == b"data: one\n\n"
    with visiting(world.edge) as visitor:
        assert visitor.upgrade(f"{path}/echo").status == 101
        visitor.send_frame(1, b"hello")
        assert visitor.read_frame() == (0x81, b"hello")
        visitor.send_frame(8, b"\x03\xe8")
        assert visitor.read_frame() == (0x88, b"\x03\xe8")


def test_nginx_on_a_unix_socket(world: World) -> None:
    """Its gzip, its ranges, its 304, and one connection for many requests."""
    if "nginx" not in world.processes:
        pytest.skip("nginx is not installed")
    head, body = world.get("/nginx/long.txt", ("Accept-Encoding", "gzip"))
    assert (head.get("content-encoding"), gzip.decompress(body)) == ("gzip", b"photo " * 1000)
    head, body = world.get("/nginx/long.txt", ("Range", "bytes=6-10"))
    assert (head.status, body) == (206, b"photo")
    tag = head.get("etag") or ""
    assert world.get("/nginx/long.txt", ("If-None-Match", tag))[0].status == 304
    first = world.get("/nginx/connection")[1].split()
    second = world.get("/nginx/connection")[1].split()
    assert (first[0], first[2]) == (second[0], b"shop.example.test")
    assert int(second[1]) == int(first[1]) + 1


def test_node_s_own_server(world: World) -> None:
    """It learns who the visitor is, and that an event stream's visitor has left."""
    if "node" not in world.processes:
        pytest.skip("node is not installed")
    found = ask_json(world.edge, "/node/who")
    assert found == {"host": "shop.example.test", "address": "127.0.0.1", "proto": "http"}
    with visiting(world.edge) as visitor:
        visitor.ask("/node/events")
        visitor.read_head()
        assert visitor.read_chunk() == b"data: one\n\n"
    world.processes["node"].wait_for("visitor left")


def test_a_folder(world: World) -> None:
    """Its files and its listing."""
    assert world.get("/folder/long.txt")[1] == b"photo " * 1000
    assert b"long.txt" in world.get("/folder/")[1]
    assert world.get("/folder/../asgi-tunnel.toml")[0].status in (400, 404)
    assert world.get("/nowhere")[0].status == 404


def test_a_service_that_is_killed_and_started_again(world: World) -> None:
    """503 with Retry-After in between; nothing else is disturbed."""
    world.processes["fastapi"].kill()
    head, _ = world.get("/fastapi/who")
    assert (head.status, head.get("retry-after")) == (503, "5")
    assert world.get("/python/long.txt")[0].status == 200
    assert world.get("/inside/who")[0].status == 200
    start_uvicorn(world).wait_for(UVICORN_READY)
    assert world.get("/fastapi/who")[0].status == 200


def test_the_file_is_followed(world: World) -> None:
    """A service that `asgi-tunnel service add` writes is there within seconds, `rm` takes it."""
    from asgi_tunnel.cli import main

    file = ["--services", str(world.folder / "asgi-tunnel.toml")]
    assert main(["service", "add", "shop.example.test/new", "./www", *file]) == 0
    wait_until(lambda: world.get("/new/long.txt")[0].status == 200, what="the new service")
    assert main(["service", "rm", "shop.example.test/new", *file]) == 0
    wait_until(lambda: world.get("/new/long.txt")[0].status == 404, what="it is gone")
    assert ask_json(world.edge, "/inside/who")["pid"] == world.processes["app"].pid


def test_no_service_has_a_port_of_its_own(world: World) -> None:
    """What is behind the table is asked by the tunnel; the app's process listens nowhere."""
    from .harness import listening_sockets

    assert listening_sockets(world.processes["app"].pid) == []


@pytest.mark.parametrize("path", ["/node", "/nginx", "/python", "/fastapi", "/folder"])
def test_no_visitor_reaches_what_is_not_in_the_table(world: World, path: str) -> None:
    """Raw requests that name another server, as a visitor sends them: it gets no connection."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        host = "Host: shop.example.test\r\n"
        for request in (
            f"GET http://{place}{path}/ HTTP/1.1\r\n{host}\r\n",
            f"GET http://shop.example.test@{place}{path}/ HTTP/1.1\r\n{host}\r\n",
            f"GET http://shop.example.test{path}//{place}/ HTTP/1.1\r\n{host}\r\n",
            f"GET {path}//{place}/ HTTP/1.1\r\n{host}\r\n",
            f"GET {path}/%2f%2f{place}/ HTTP/1.1\r\n{host}\r\n",
            f"GET {path}/..//{place}/ HTTP/1.1\r\n{host}\r\n",
            f"GET {path}@{place}/ HTTP/1.1\r\n{host}\r\n",
            f"GET @{place}{path} HTTP/1.1\r\n{host}\r\n",
            f"CONNECT {place} HTTP/1.1\r\n{host}\r\n",
            f"GET {path}/ HTTP/1.1\r\nHost: {place}\r\n\r\n",
            f"GET {path}/ HTTP/1.1\r\n{host}Host: {place}\r\n\r\n",
            f"GET {path}/ HTTP/1.1\r\n{host}X-Forwarded-Host: {place}\r\n\r\n",
            f"GET {path}/%0d%0aHost:%20{place} HTTP/1.1\r\n{host}\r\n",
        ):
            with visiting(world.edge) as visitor:
                visitor.sock.sendall(request.encode())
                assert 200 <= visitor.read_head().status < 500, request
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
