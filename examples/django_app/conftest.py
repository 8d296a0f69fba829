"""Fixtures: the guest book started as a user would start it, and visitors who call it.

`GUESTBOOK_BASE_URL` runs the same tests against a guest book that is already running, for example
at its public address behind an edge (`SSL_CERT_FILE` names the authority of a private certificate).
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

_HERE = Path(__file__).parent
_TIMEOUT = 15.0  # seconds; for one answer, and for the exit of the process

NewVisitor = Callable[[], httpx.Client]


@pytest.fixture(scope="session")
def server_log() -> list[str]:
    """Lines the server has written; stays empty when it was started elsewhere."""
    return []


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory, server_log: list[str]) -> Iterator[str]:
    """Address of a running guest book: `GUESTBOOK_BASE_URL`, else a fresh one under uvicorn."""
    running = os.environ.get("GUESTBOOK_BASE_URL")
    if running:
        yield running
        return
    env = {name: value for name, value in os.environ.items() if not name.startswith("ASGI_TUNNEL_")}
    env["GUESTBOOK_DIR"] = str(tmp_path_factory.mktemp("guestbook"))
    env.pop("GUESTBOOK_HOSTS", None)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=_HERE, env=env, check=True)
    command = [sys.executable, "-m", "uvicorn", "guestbook_site.asgi:application", "--port", "0"]
    # uvicorn believes X-Forwarded-* of every process on this machine unless told otherwise.
    command.append("--no-proxy-headers")
    with subprocess.Popen(
        command, cwd=_HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        address = None
        for line in server.stdout:
            server_log.append(line)
            if address := re.search(r"running on (http://\S+)", line):
                break
        assert address is not None, "".join(server_log)
        reader = threading.Thread(target=server_log.extend, args=(server.stdout,), daemon=True)
        reader.start()  # a full pipe would stop the server
        try:
            yield address[1]
        finally:
            server.terminate()
            server.wait(_TIMEOUT)
            reader.join(_TIMEOUT)


@pytest.fixture
def new_visitor(base_url: str) -> Iterator[NewVisitor]:
    """Make visitors, each with cookies of their own."""
    visitors: list[httpx.Client] = []

    def make() -> httpx.Client:
        visitors.append(httpx.Client(base_url=base_url, timeout=_TIMEOUT))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> httpx.Client:
    """One visitor."""
    return new_visitor()
