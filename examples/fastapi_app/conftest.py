"""Starts the example as a user would. Tests get no more than its address."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

HERE: Final = Path(__file__).parent
STOP_TIMEOUT: Final = 10.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApp:
    """The example in a process of its own."""

    url: str
    folder: Path
    process: subprocess.Popen[str]


@contextmanager
def started(
    module: str, *arguments: str, ready: str, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
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
            yield process, found[1]
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                drain.join()


@contextmanager
def run_under_uvicorn(folder: Path, _request: pytest.FixtureRequest) -> Iterator[RunningApp]:
    """Run it under uvicorn, on a free port of this machine."""
    arguments = ("--app-dir", str(HERE), "home_cloud.main:app", "--port", "0")
    with started(
        "uvicorn", *arguments, ready=r"running on (http://\S+)", HOME_CLOUD_DIR=str(folder)
    ) as (process, url):
        yield RunningApp(url=url, folder=folder, process=process)


def edge_command(command: str, *arguments: str, data: Path) -> str:
    """Run `asgi-tunnel-edge COMMAND` on an edge's folder and return what it prints."""
    words = [sys.executable, "-m", "asgi_tunnel_edge", command, *arguments, "--data", str(data)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An edge on this machine; its folder."""
    data = tmp_path_factory.mktemp("cloud") / "edge"
    options = ("--domain", "localhost", "--listen", "127.0.0.1:0", "--tls", "off")
    edge_command("init", *options, data=data)
    with started("asgi_tunnel_edge", "run", "--data", str(data), ready=r"listening on (\S+)"):
        yield data


@contextmanager
def run_through_tunnel(folder: Path, request: pytest.FixtureRequest) -> Iterator[RunningApp]:
    """Run it without a port, under a name of its own, behind an edge on this machine."""
    name = f"cloud-{uuid4().hex[:8]}"
    created = edge_command("token", "create", name, "--json", data=request.getfixturevalue("edge"))
    with started(
        "asgi_tunnel",
        *("run", "--app-dir", str(HERE), "home_cloud.main:app"),
        ready=r"is live: (http://\S+)",
        ASGI_TUNNEL_TOKEN=json.loads(created)["token"],
        HOME_CLOUD_DIR=str(folder),
    ) as (process, url):
        yield RunningApp(url=url, folder=folder, process=process)


# Each is a way to reach the example; every test runs through each of them.
ROUTES: Final[
    dict[str, Callable[[Path, pytest.FixtureRequest], AbstractContextManager[RunningApp]]]
] = {"uvicorn": run_under_uvicorn}
if importlib.util.find_spec("asgi_tunnel_edge"):  # it is needed on the server only
    ROUTES["tunnel"] = run_through_tunnel


@pytest.fixture(scope="session", autouse=True)
def localhost_names() -> Iterator[None]:
    """Resolve `x.localhost` as browsers do (RFC 6761): not every system knows such names."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        is_local = isinstance(host, str) and host.endswith(".localhost")
        return resolve("127.0.0.1" if is_local else host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(scope="session", params=ROUTES)
def base_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of the running example, without a slash at the end."""
    with ROUTES[request.param](tmp_path_factory.mktemp("cloud") / "files", request) as running:
        yield running.url


@pytest.fixture(params=ROUTES)
def own_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningApp]:
    """An instance for one test alone, which may stop it or look into its folder."""
    with ROUTES[request.param](tmp_path / "cloud", request) as running:
        yield running


@pytest.fixture
def web(base_url: str) -> Iterator[httpx.Client]:
    """A visitor."""
    with httpx.Client(base_url=base_url, timeout=15.0) as client:
        yield client


@pytest.fixture
def folder(web: httpx.Client) -> str:
    """A new folder in the cloud, for one test alone."""
    name = f"test {uuid4().hex}"
    assert web.post(f"/api/folders/{name}").status_code == httpx.codes.CREATED
    return name
