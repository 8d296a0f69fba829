"""Starts the example as a user would, behind an edge on this machine. Tests get its address."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parent
STOP_TIMEOUT: Final = 10.0  # seconds


@contextmanager
def started(module: str, *arguments: str, ready: str, **settings: str) -> Iterator[str]:
    """Run `python -m module` and read what `ready` finds in a line that it prints."""
    environment = {name: os.environ[name] for name in os.environ if "ASGI_TUNNEL" not in name}
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if found := re.search(ready, line):
                break
        else:
            pytest.fail(f"{module} did not start:\n{seen}")
        # A pipe nobody reads fills up and stops the process.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield found[1]
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                drain.join()


@pytest.fixture(scope="session", autouse=True)
def localhost_names() -> Iterator[None]:
    """Resolve `notes.localhost` as browsers do (RFC 6761): not every system knows such names."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        is_local = isinstance(name, str) and name.endswith(".localhost")
        return resolve("127.0.0.1" if is_local else host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where clients connect, as the log says it."""
    folder = tmp_path_factory.mktemp("notes")
    edge = [sys.executable, "-m", "asgi_tunnel_edge"]
    data = ["--data", str(folder / "edge")]
    init = ["init", "--domain", "localhost", "--listen", "127.0.0.1:0", "--tls", "off"]
    subprocess.run([*edge, *init, *data], check=True, stdout=subprocess.DEVNULL)
    with started(edge[-1], "run", *data, ready=r"listening on (\S+)"):
        create = ["token", "create", "notes", "--json"]
        created = subprocess.run([*edge, *create, *data], check=True, stdout=subprocess.PIPE)
        with started(
            "asgi_tunnel",
            *("run", "--app-dir", str(HERE), "server:mcp"),
            ready=r"MCP clients connect to (http://[^\s;]+)",
            ASGI_TUNNEL_TOKEN=json.loads(created.stdout)["token"],
            NOTES_DIR=str(folder / "kept"),
        ) as address:
            yield address
