"""Express and Socket.IO on Node."""

from __future__ import annotations

import json
from typing import Any

from tests.realapps.programs import socketio_app, sse_app
from tests.realapps.running import BIN
from tests.realapps.visit import Place, Program, Visit

MODULES = BIN.parent / "node" / "node_modules"

APP = """
const express = require("express");
const { Server } = require("socket.io");
const crypto = require("crypto");
const app = express();
const gone = [];
app.set("trust proxy", "loopback");
app.get("/who", (request, response) => {
  const { protocol, hostname, ip } = request;
  response.json({ url: protocol + "://" + request.get("host"), hostname, ip });
});
app.get("/login", (request, response) => {
  response.cookie("sid", "1", { httpOnly: true, sameSite: "lax" });
  response.redirect(request.protocol + "://" + request.get("host") + "/who");
});
app.post("/upload", (request, response) => {
  const hash = crypto.createHash("sha256");
  request.on("data", (data) => hash.update(data));
  request.on("end", () => response.json({ sha256: hash.digest("hex") }));
});
app.get("/events", (request, response) => {
  response.set({ "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" });
  const first = Number(request.get("last-event-id") || 0);
  const isEndless = "for-ever" in request.query;
  const ping = setInterval(() => response.write(": ping\\n\\n"), 1000);
  let number = first;
  const next = () => {
    if (number < first + 5) {
      response.write(`event: count\\nid: ${number}\\ndata: \\u00e9 ${number}\\n\\n`);
      number += 1;
      setTimeout(next, 20);
    } else if (!isEndless) {
      response.end();
    }
  };
  next();
  response.on("close", () => { clearInterval(ping); gone.push(request.path); });
});
app.get("/ended", (request, response) => response.send(String(gone.length)));
app.get("/page", (request, response) => response.send("<p id=seen></p><script>" +
  "const source = new EventSource('/events?for-ever');" +
  "source.addEventListener('count', event => seen.textContent += event.data + ',');</script>"));
app.get("/", (request, response) => response.type("text").send("the page"));
const server = app.listen(Number(process.argv[2]), "127.0.0.1");
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("add", (data, done) => {
    socket.emit("added", data);
    done(data.reduce((sum, one) => sum + one, 0));
  });
  socket.on("blob", (data, done) => done(data.length));
});
"""


def start(place: Place) -> list[str]:
    """Run the app in node."""
    file = place.folder / "app.js"
    file.write_text(APP)
    return ["node", str(file), str(place.port)]


def version_of(package: str) -> Any:
    """Return a function that reads a package's version."""

    def read() -> str:
        return str(json.loads((MODULES / package / "package.json").read_text())["version"])

    return read


CHUNKED = "Transfer-Encoding: chunked"
CLIENT = """
        const seen = [];
        for (const transports of [["polling"], ["polling", "websocket"], ["websocket"]]) {
            const socket = io(base, { transports, forceNew: true });
            const added = new Promise((done) => socket.on("added", done));
            const sum = await socket.timeout(20000).emitWithAck("add", [1, 2, 3]);
            const size = await socket.timeout(20000).emitWithAck("blob", Buffer.alloc(100000));
            if (transports.length > 1 && socket.io.engine.transport.name == "polling") {
                await new Promise((done) => socket.io.engine.once("upgrade", done));
            }
            seen.push([sum, size, await added, socket.io.engine.transport.name]);
            socket.disconnect();
        }
        console.log(JSON.stringify(seen));
"""


def job(visit: Visit) -> None:
    """Redirects, cookies, an upload; an event stream read, resumed, and left in the middle."""
    visit.curl("visitor, with a URL", "/who", "--interface", "127.0.0.2")
    visit.curl("redirect, with a URL", "/login")
    file = visit.folder / "upload.bin"
    file.write_bytes(bytes(range(256)) * 40_000)  # 10 MiB
    visit.curl("upload", "/upload", "--data-binary", f"@{file}")
    visit.curl("upload in chunks", "/upload", "--data-binary", f"@{file}", "-H", CHUNKED)
    sse_app.job(visit)
    require = f"createRequire({json.dumps(str(MODULES / 'visitor.js'))})"
    printed = visit.node(f"""
        import {{ createRequire }} from "node:module";
        const {{ io }} = {require}("socket.io-client");
        {CLIENT}
    """)
    visit.note("socket.io-client", seen=printed)


def job_in_browser(visit: Visit) -> None:
    """Let a page read the stream with EventSource."""
    with visit.browser() as page:
        page.goto(visit.base + "/page")
        page.wait_for_function("seen.textContent.includes('4')")
        visit.note("page", text=page.inner_text("#seen"))


ENV = {"NODE_PATH": str(MODULES)}
PROGRAMS = [
    Program(
        name="Express",
        distribution="express",
        version=version_of("express"),
        does="a redirect and a cookie, 10 MiB up, an event stream read, resumed and left in the "
        "middle; Socket.IO by polling, after an upgrade, and by WebSocket",
        visitors="curl, httpx, socket.io-client",
        job=job,
        start=start,
        env=ENV,
        setting='`app.set("trust proxy", "loopback")`, for the visitor\'s address and scheme',
        needs=("node", "curl"),
    ),
    Program(
        name="Express in a browser",
        distribution="express",
        version=version_of("express"),
        does="EventSource",
        visitors="Chromium",
        job=job_in_browser,
        start=start,
        env=ENV,
        needs=("node", "chromium"),
    ),
    Program(
        name="Socket.IO",
        distribution="socket.io",
        version=version_of("socket.io"),
        does="calls, events and binary data by long polling, after an upgrade, and by WebSocket",
        visitors="python-socketio, curl",
        job=socketio_app.job,
        start=start,
        env=ENV,
        setting="nothing",
        needs=("node", "curl"),
    ),
]
