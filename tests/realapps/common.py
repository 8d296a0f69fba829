"""One job for every web framework: the same eight paths, five kinds of visitors.

/json, /form, /upload, /login, /me, /stream, /url and, where the framework has WebSockets, /ws.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.realapps.visit import Visit

FILE: Final = bytes(range(256)) * 1200  # 300 KiB: more than a window's first credit
DOES: Final = "JSON, a form, an upload, a login with a cookie and a redirect, a stream, URLs"
VISITORS: Final = "curl, httpx, requests, aiohttp (pooled), node"


def facts(name: str, data: bytes) -> dict[str, Any]:
    """Return what /upload says about a file."""
    return {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def lines() -> list[str]:
    """Return what /stream sends, a chunk each."""
    return [f"line {number}\n" for number in range(5)]


async def job(visit: Visit) -> None:
    """Call every path."""
    with visit.httpx() as client:
        visit.response("json", client.get("/json", params={"x": "é ü", "y": ["1"]}))
        visit.response("form", client.post("/form", data={"name": "Ada & Bob"}))
        visit.response("url", client.get("/url?a=1"))
        visit.response("missing", client.get("/missing"), status=404)
        visit.response("head", client.head("/json?x=1"), status=None)
    with visit.requests() as session:
        visit.response(
            "upload", session.post(visit.base + "/upload", files={"file": ("a.bin", FILE)})
        )
        login = session.get(visit.base + "/login")
        visit.response("login, the redirect", login.history[0], status=None)
        visit.response("login, the page", login)
        assert login.text == "ada"
    visit.curl("stream", "/stream")
    visit.curl("method", "/json", "-X", "DELETE")
    printed = visit.node("""
        const seen = [];
        for (const path of ["/json?x=1", "/stream", "/me"]) {
            const response = await fetch(base + path, {headers: {cookie: "user=node"}});
            const type = response.headers.get("content-type");
            seen.push([response.status, type, await response.text()]);
        }
        console.log(JSON.stringify(seen));
    """)
    visit.note("node", seen=printed)
    async with visit.aiohttp() as session:

        async def once(number: int) -> str:
            async with session.post("/form", data={"name": f"n{number}"}) as response:
                return str(await response.text())

        visit.note("pooled", seen=await asyncio.gather(*[once(number) for number in range(20)]))


async def job_with_websocket(visit: Visit) -> None:
    """Call every path, /ws among them."""
    from websockets.asyncio.client import connect

    await job(visit)
    address = visit.base.replace("https", "wss") + "/ws"
    async with connect(address, ssl=visit.tls, proxy=None) as socket:
        await socket.send("hello")
        await socket.send("x" * 100_000)
        received = [await socket.recv(), await socket.recv()]
        visit.note("websocket", received=received)
