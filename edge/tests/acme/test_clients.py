"""Visitors with roots of their own, and what they notice while certificates change: nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.sync.client import connect

from .edges import AcmeEdge, app_behind, make_edge
from .pebble import Pebble

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NAME = "shop.example.test"
APP = """
import asyncio

said = asyncio.Event()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        said.set()
        return
    if scope["path"] == "/wait":  # the page has loaded when its chat is over
        await said.wait()
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    page = PAGE if scope["path"] == "/page" else f"{scope['scheme']} {size}".encode()
    kind = b"text/html" if scope["path"] == "/page" else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": page})

PAGE = b'''<!doctype html><title>wait</title><script>
(async () => {
  const upload = await fetch("/upload", {method: "POST", body: new Uint8Array(3000000)})
  const size = await upload.text()
  const chat = new WebSocket(`wss://${location.host}/chat`)
  chat.onopen = () => chat.send("hello")
  chat.onmessage = (said) => {
    document.title = `${location.protocol} ${size} ${said.data}`
    chat.close()
  }
})()
</script><img src=/wait>'''
"""

GO = """
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	pem, _ := os.ReadFile(os.Args[1])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, os.Args[2])
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	reply, err := client.Get(os.Args[3])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	body, _ := io.ReadAll(reply.Body)
	fmt.Println(reply.StatusCode, string(body))
}
"""


@pytest.fixture(scope="module")
def world(pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeEdge]:
    """An edge with an app behind it, both by certificates of the CA."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "main.py").write_text(APP)
    one = make_edge(
        folder, pebble, "--no-check", "--dns", "none", settings='addresses = ["127.0.0.1"]'
    )
    # The app dials an address, as no DNS leads to the edge, and checks its certificate.
    one.set("domain =", f'public_url = "https://127.0.0.1:{pebble.tls_port}"\ndomain =')
    one.edge.start()
    try:
        token = one.edge.create_token("shop")
        one.wait_shown("127.0.0.1")
        one.wait_shown(NAME)
        with app_behind(one, token, "main:app", folder):
            yield one
    finally:
        one.edge.stop()


def url(world: AcmeEdge, path: str) -> str:
    """Where a visitor finds something."""
    return f"https://{NAME}:{world.edge.port}{path}"


def printed(*command: str, **env: str) -> str:
    """What a program prints; skipped where there is none."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_curl(world: AcmeEdge) -> None:
    """With the CA's root, and an upload."""
    port = world.edge.port
    done = printed(
        *("curl", "-sS", "--cacert", str(world.root), "--resolve", f"{NAME}:{port}:127.0.0.1"),
        *("--data-binary", "x" * 1000, url(world, "/")),
    )
    assert done == "https 1000"


def test_openssl(world: AcmeEdge) -> None:
    """The whole chain is sent, and verified for the name."""
    done = printed(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{world.edge.port}", "-servername", NAME),
        *("-CAfile", str(world.root), "-verify_return_error", "-verify_hostname", NAME),
    )
    assert "Verify return code: 0 (ok)" in done


def test_python(world: AcmeEdge) -> None:
    """Python's own library, with TLS 1.3."""
    with world.connect(NAME) as sock:
        assert sock.version() == "TLSv1.3"
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := sock.recv(65536):
            data += more
    assert data.startswith(b"HTTP/1.1 200")


def test_go(world: AcmeEdge, tmp_path: Path) -> None:
    """A client of another TLS library."""
    (tmp_path / "main.go").write_text(GO)
    done = printed(
        *("go", "run", str(tmp_path / "main.go"), str(world.root)),
        *(f"127.0.0.1:{world.edge.port}", url(world, "/")),
    )
    assert done == "200 https 0\n"


def test_chromium(world: AcmeEdge, tmp_path: Path) -> None:
    """A page, an upload and a chat in a browser that trusts the CA's root, as a user's does."""
    if shutil.which("certutil") is None:
        pytest.skip("certutil (libnss3-tools) is not installed: chromium's store of roots needs it")
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    printed("certutil", "-d", f"sql:{store}", "-N", "--empty-password")
    printed(
        *("certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "ca", "-i", str(world.root))
    )
    page = printed(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        url(world, "/page"),
        HOME=str(tmp_path),
    )
    assert "<title>https: https 3000000 hello</title>" in page


def test_renewals_under_load(world: AcmeEdge) -> None:
    """Three renewals: no handshake fails, and no connection of a visitor or an app is dropped."""
    stop, context = threading.Event(), world.trust()

    def handshakes() -> int:
        count = 0
        while not stop.is_set():
            with world.connect(NAME, context) as sock:
                sock.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
                assert sock.recv(65536).startswith(b"HTTP/1.1 200")
            count += 1
        return count

    def talk() -> int:
        count = 0
        with connect(
            url(world, "/chat").replace("https", "wss"),
            sock=socket.create_connection(("127.0.0.1", world.edge.port), 20),
            ssl=context,
            server_hostname=NAME,
            proxy=None,
        ) as chat:
            while not stop.is_set():
                chat.send(str(count))
                assert chat.recv(timeout=20) == str(count)
                count += 1
                time.sleep(0.01)
        return count

    jobs: list[Callable[[], int]] = [handshakes, handshakes, talk, talk]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            serial = world.wait_kept(NAME).serial
            for _ in range(3):
                world.store.request_renewal(world.pebble.directory, (NAME,))
                serial = world.wait_kept(NAME, serial=serial).serial
        finally:
            stop.set()
        counts = [one.result(30) for one in running]
    assert min(counts) > 0
    assert "has lost its connection" not in world.edge.running.output
