"""Jupyter: kernels over WebSocket, files, and JupyterLab."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any

from tests.realapps.running import BIN
from tests.realapps.visit import Place, Program, Visit

TOKEN = "secret"
CODE = """
import time
for number in range(3):
    print(number, flush=True)
    time.sleep(0.05)
print("x" * 3_000_000)
6 * 7
"""
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "one",
            "metadata": {},
            "outputs": [],
            "source": "import time\nfor n in range(4):\n    print('step', n)\n    time.sleep(0.2)\n"
            "print('the sum is', 40 + 2)",
        }
    ],
    "metadata": {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    },
    "nbformat": 4,
    "nbformat_minor": 5,
}


def start(place: Place) -> list[str]:
    """JupyterLab with a token, and a notebook in its folder."""
    files = place.folder / "files"
    files.mkdir()
    (files / "sum.ipynb").write_text(json.dumps(NOTEBOOK))
    return [
        str(BIN / "jupyter-lab"),
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={place.port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={files}",
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.allow_remote_access=True",
        "--ServerApp.trust_xheaders=True",
        f"--ServerApp.base_url={place.path}/",
    ]


async def job(visit: Visit) -> None:
    """Log in, upload, download, and run code in a kernel in both forms of its WebSocket."""
    with visit.httpx() as http:
        visit.response("without the token", http.get("/api/contents"), status=403, body=False)
        visit.response("first page", http.get("/"), status=302)
        login = http.get("/lab", params={"token": TOKEN})
        visit.response("login", login, status=None, body=False)
        cookies = login.headers.get_list("set-cookie")
        has_secure = any("secure" in one.lower() for one in cookies)
        assert has_secure == visit.base.startswith("https")
    data = bytes(range(256)) * 20_000  # 5 MiB
    with visit.httpx(headers={"authorization": f"token {TOKEN}"}) as http:
        text = base64.b64encode(data).decode()
        model = {"type": "file", "format": "base64", "content": text}
        put = http.put("/api/contents/big.bin", json=model)
        visit.note("upload", status=put.status_code, size=put.json()["size"])
        got = http.get("/files/big.bin")
        visit.note("download", same=got.content == data)
        assert hashlib.sha256(got.content).digest() == hashlib.sha256(data).digest()
        part = http.get("/files/big.bin", headers={"range": "bytes=256-511"})
        visit.note("range", status=part.status_code, size=len(part.content))
        kernel = http.post("/api/kernels", json={"name": "python3"}).json()["id"]
        for protocol in (None, "v1.kernel.websocket.jupyter.org"):
            visit.note(f"code, {protocol}", **await _run(visit, kernel, protocol))
        visit.note("foreign Origin", status=await _refused(visit, kernel))
        visit.note("ended", status=http.delete(f"/api/kernels/{kernel}").status_code)


def _address(visit: Visit, kernel: str) -> str:
    base = visit.base.replace("http", "ws", 1)
    return f"{base}/api/kernels/{kernel}/channels?token={TOKEN}&session_id={uuid.uuid4()}"


async def _run(visit: Visit, kernel: str, protocol: Any) -> dict[str, Any]:
    """Run the code, and return what came of it."""
    from websockets.asyncio.client import connect

    header = {"msg_id": uuid.uuid4().hex, "username": "ada", "session": uuid.uuid4().hex}
    header |= {"msg_type": "execute_request", "version": "5.3", "date": "2026-01-01T00:00:00Z"}
    content = {"code": CODE, "silent": False, "store_history": False, "user_expressions": {}}
    content |= {"allow_stdin": False, "stop_on_error": True}
    async with connect(
        _address(visit, kernel),
        ssl=visit.tls if visit.base.startswith("https") else None,
        origin=visit.base,
        subprotocols=[protocol] if protocol else None,
        max_size=None,
        proxy=None,
    ) as socket:
        if protocol:
            parts = [b"shell"] + [json.dumps(one).encode() for one in (header, {}, {}, content)]
            offsets = [8 * (len(parts) + 2)]
            for part in parts:
                offsets.append(offsets[-1] + len(part))
            numbers = [len(offsets), *offsets]
            await socket.send(b"".join(n.to_bytes(8, "little") for n in numbers) + b"".join(parts))
        else:
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
            await socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        printed, result = "", ""
        while True:
            kind, parent, content = _read(await socket.recv())
            if parent != header["msg_id"]:
                continue
            if kind == "stream":
                printed += content["text"]
            elif kind == "execute_result":
                result = content["data"]["text/plain"]
            elif kind == "status" and content["execution_state"] == "idle":
                return {
                    "printed": hashlib.sha256(printed.encode()).hexdigest(),
                    "size": len(printed),
                    "result": result,
                    "protocol": socket.subprotocol,
                }


def _read(message: Any) -> tuple[str, str, dict[str, Any]]:
    """Return a message's type, whom it answers, and its content."""
    if isinstance(message, str):
        found = json.loads(message)
        return found["header"]["msg_type"], found["parent_header"].get("msg_id"), found["content"]
    count = int.from_bytes(message[:8], "little")
    at = [int.from_bytes(message[8 * n : 8 * n + 8], "little") for n in range(1, count + 1)]
    _, header, parent, _, content = [message[at[n] : at[n + 1]] for n in range(5)]
    found_parent = json.loads(parent)
    return json.loads(header)["msg_type"], found_parent.get("msg_id"), json.loads(content)


async def _refused(visit: Visit, kernel: str) -> int:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    try:
        tls = visit.tls if visit.base.startswith("https") else None
        address = _address(visit, kernel).replace(f"token={TOKEN}&", "")
        async with connect(address, ssl=tls, origin="https://other.test", proxy=None):
            return 101
    except InvalidStatus as error:
        return int(error.response.status_code)


def job_in_browser(visit: Visit) -> None:
    """Open a notebook in JupyterLab, run its cell, and save it."""
    with visit.browser() as page:
        page.goto(f"{visit.base}/doc/tree/sum.ipynb?token={TOKEN}")
        page.click(".jp-Notebook .jp-Cell .jp-InputArea-editor")
        page.keyboard.press("Shift+Enter")
        page.wait_for_selector("text=the sum is 42")
        visit.note("output", text=page.inner_text(".jp-OutputArea-output"))
        with page.expect_response(lambda one: one.request.method == "PUT") as saved:
            page.keyboard.press("Control+s")
        visit.note("saved", status=saved.value.status)


PROGRAMS = [
    Program(
        name="Jupyter",
        distribution="jupyterlab",
        does="a token, an upload, code in a kernel over both forms of its WebSocket, "
        "a foreign Origin refused",
        visitors="httpx, websockets",
        job=job,
        start=start,
        setting="`--ServerApp.allow_remote_access=True`, else it refuses hostnames that are not "
        "local; `--ServerApp.trust_xheaders=True`, so that its cookies are for HTTPS only",
    ),
    Program(
        name="JupyterLab in a browser",
        distribution="jupyterlab",
        does="a notebook opened, its cell run, saved",
        visitors="Chromium",
        job=job_in_browser,
        start=start,
        needs=("chromium",),
    ),
    Program(
        name="JupyterLab below a path",
        distribution="jupyterlab",
        does="a notebook opened, its cell run, saved",
        visitors="Chromium",
        job=job_in_browser,
        start=start,
        path="/lab1",
        setting='`--ServerApp.base_url=/lab1/` beside the others; `path = "/lab1"` in the table',
        needs=("chromium",),
    ),
]
