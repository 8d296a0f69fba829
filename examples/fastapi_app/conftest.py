"""Starts the example as a user would. Tests get no more than its address."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
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
def run_under_uvicorn(folder: Path) -> Iterator[RunningApp]:
    """Run `python -m uvicorn home_cloud.main:app --port 0` and read the port it prints."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "home_cloud.main:app"]
    environment = {name: os.environ[name] for name in os.environ if "ASGI_TUNNEL" not in name}
    environment["HOME_CLOUD_DIR"] = str(folder)
    with subprocess.Popen(
        [*command, "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            pytest.fail(f"the app did not start:\n{seen}")
        # A pipe nobody reads fills up and stops the process.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield RunningApp(url=found[1], folder=folder, process=process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                drain.join()


# Each is a way to reach the example; every test runs through each of them.
ROUTES: Final[dict[str, Callable[[Path], AbstractContextManager[RunningApp]]]] = {
    "uvicorn": run_under_uvicorn,
}


@pytest.fixture(scope="session", params=ROUTES)
def base_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of the running example, without a slash at the end."""
    with ROUTES[request.param](tmp_path_factory.mktemp("cloud")) as running:
        yield running.url


@pytest.fixture
def own_app(tmp_path: Path) -> Iterator[RunningApp]:
    """An instance for one test alone, which may stop it or look into its folder."""
    with run_under_uvicorn(tmp_path / "cloud") as running:
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
