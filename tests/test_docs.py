from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, Process, spawn

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HOSTNAME = "shop.localhost"


def blocks(section: str, language: str) -> list[str]:
    """The fenced blocks of one section of the README."""
    text = README.read_text(encoding="utf-8")
    body = re.split(r"^##+ ", text.split(f"### {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[
        0
    ]
    return re.findall(rf"^```{language}\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL)


def commands(section: str) -> list[list[str]]:
    """What the console blocks of a section tell to type, in words; installing is left out."""
    typed = [
        shlex.split(line.removeprefix("$ "), comments=True)
        for block in blocks(section, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return [words for words in typed if words[0] != "pip"]


def command(section: str, *begins: str) -> list[str]:
    """The one command of a section that begins like this, with port 0 and our installed program."""
    found = [words for words in commands(section) if words[: len(begins)] == list(begins)]
    assert len(found) == 1, found
    words = ["127.0.0.1:0" if word.startswith("127.0.0.1:") else word for word in found[0]]
    return [str(BIN / words[0]), *words[1:]]


@contextmanager
def running(words: list[str], folder: Path, ready: str, env: dict[str, str]) -> Iterator[Process]:
    """A command of the README, from where it says it is ready to Ctrl-C."""
    process = spawn(words, folder, env=env, cwd=folder)
    try:
        process.wait_for(ready)
        yield process
    finally:
        process.stop(signal.SIGINT)


def get(port: int, hostname: str) -> tuple[int, str]:
    """Ask the edge for a hostname's page."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/", headers={"Host": f"{hostname}:{port}"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@pytest.mark.e2e
def test_readme_quickstart_works_as_it_stands(tmp_path: Path) -> None:
    """Who types what the quickstart says gets the response of its app through the tunnel."""
    edge_steps = [words[:2] for words in commands("An edge")]
    assert edge_steps == [
        ["asgi-tunnel-edge", "init"],
        ["asgi-tunnel-edge", "token"],
        ["asgi-tunnel-edge", "run"],
    ]
    (tmp_path / "main.py").write_text(blocks("FastAPI", "python")[0], encoding="utf-8")
    with ExitStack() as stack:

        def finished(words: list[str]) -> str:
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        finished(command("An edge", "asgi-tunnel-edge", "init"))
        run = command("An edge", "asgi-tunnel-edge", "run")
        edge = stack.enter_context(running(run, tmp_path, "listening on ", {}))
        port = edge.find(r"listening on 127\.0\.0\.1:(\d+)")
        # With a fixed port the token may come first, as in the README; port 0 is known only now.
        printed = finished(command("An edge", "asgi-tunnel-edge", "token"))
        exported = re.search(r"^export ASGI_TUNNEL_TOKEN=(att1\.\S+)$", printed, re.MULTILINE)
        assert exported is not None, printed

        environment = {"ASGI_TUNNEL_TOKEN": exported[1]}
        serve = command("FastAPI", "asgi-tunnel", "run")
        stack.enter_context(running(serve, tmp_path, "main:app is live", environment))
        status, body = get(int(port), HOSTNAME)
        assert status == 200, body
        answer = json.loads(body)
        assert answer["hello"] == "world"
        assert answer["you asked for"] == f"http://{HOSTNAME}:{port}/"


@pytest.mark.parametrize("section", ["Starlette", "Any ASGI app"])
def test_readme_apps_can_be_imported(section: str, tmp_path: Path) -> None:
    """Each one-file app of the README is an app that `asgi-tunnel run` finds."""
    (tmp_path / "main.py").write_text(blocks(section, "python")[0], encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if "ASGI_TUNNEL" not in key}
    program = "import main; assert callable(main.app)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
