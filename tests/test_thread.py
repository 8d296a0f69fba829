"""A tunnel in a thread of its own, at the end of its process; what it serves: e2e/test_servers."""

from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.harness import running_edge, spawn

APP = """
import asyncio, sys
from asgi_tunnel import start_in_thread

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    print("begun", flush=True)
    await asyncio.sleep(60)

start_in_thread(app)
sys.stdin.read()
"""


@pytest.mark.e2e
def test_the_process_ends_during_a_slow_request(tmp_path: Path) -> None:
    """The goodbye comes in time: the app's shutdown runs, and the edge hears that it has ended."""
    (tmp_path / "main.py").write_text(APP)
    with running_edge(tmp_path) as edge:
        token = edge.create_token("shop")
        env = {"ASGI_TUNNEL_TOKEN": token.token}
        command = [sys.executable, "main.py"]
        process = spawn(command, tmp_path, env=env, cwd=tmp_path, stdin=subprocess.PIPE)
        visitor = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=30)
        try:
            process.wait_for("is live")
            visitor.request("POST", "/", headers={"Host": token.hostnames[0]})
            process.wait_for("begun")
            assert process.popen.stdin is not None
            process.popen.stdin.close()
            assert process.popen.wait(20) == 0
            assert visitor.getresponse().status == 502  # it is not waited for
            assert "shutdown" in process.output
            edge.running.wait_for("the app has ended")
        finally:
            process.popen.kill()
            process.popen.wait()
            visitor.close()
