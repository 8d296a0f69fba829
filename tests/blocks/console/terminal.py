"""Types the commands of a page, one after another, and compares what they print with the page.

Each page has a folder of its own, a token, and an edge that this token leads to. What cannot be as
on the page is put in its place: ports are free ones, the package index is not asked, names below
example.org are asked at the edge's own port.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from click.testing import CliRunner
from scripts.check_docs import ROOT, Block
from tests.e2e.harness import BIN, Edge, Process, edge_command, spawn, wait_until
from tests.e2e.ports import free_port

from asgi_tunnel_edge.cli import main as edge_cli

SERVERS: Final[dict[str, tuple[str, ...]]] = {
    "daphne": ("-p", "0"),
    "fastapi": ("--port", "0"),
    "litestar": ("--port", "0"),
    "quart": ("--port", "0"),
    "uvicorn": ("--port", "0"),
}
"""Commands that serve until they are ended, and how each is given a free port."""

ASKED: Final = {"pip", "python", "."}
"""Commands that prepare an environment, which the tests have already; pip's words are checked."""

NEED_EDGE: Final = frozenset({"logs", "metrics", "reload", "status", "top", "tunnel", "upgrade"})
"""Subcommands that ask a running edge."""

_LOCAL: Final = (
    (r"https://(?P<name>\w+)\.example\.org", r"http://\g<name>\\.example\\.org:\\d+"),
    (r"wss://example\.org", r"ws://127\\.0\\.0\\.1:\\d+"),
)


@dataclass(slots=True)
class Terminal:
    """One page's folder, environment and programs."""

    folder: Path
    edge: Edge
    token: str
    made: Path  # an edge's folder, to be copied
    env: dict[str, str] = field(default_factory=dict)
    _own_edge: Edge | None = None
    _own_token: str = ""

    @property
    def _given_token(self) -> str:
        """The token that is pasted: of the page's own edge while it runs."""
        has_services = (self.folder / "asgi-tunnel.toml").exists()  # of other names than its own
        is_own = self._own_edge is not None and self._own_token and not has_services
        return self._own_token if is_own else self.token

    def close(self) -> None:
        """End what still runs."""
        if self._own_edge is not None:
            self._own_edge.stop()
            self._own_edge = None
        self._own_token = ""

    def forget(self) -> None:
        """Begin again without an edge of the page's own: a page of reference tells no story."""
        self.close()
        shutil.rmtree(self.folder / "edge-data", ignore_errors=True)

    def add_settings(self, text: str) -> None:
        """Write what a page puts into its edge's ``edge.toml``; a running one is not asked."""
        data = self.folder / "edge-data"
        if not data.exists():
            self._make_edge(data)
        path = data / "edge.toml"
        settings = path.read_text("utf-8")
        header = text.partition("\n")[2].partition("\n")[0]
        if f"\n{header}\n" in settings:  # the table is there, with its examples
            settings = settings.replace(f"\n{header}\n", f"\n{text}\n")
        else:
            settings += f"\n{text}"
        path.write_text(settings, "utf-8")

    def run(self, block: Block) -> None:
        """Type a block's commands.

        Raises:
            AssertionError: A command fails, or prints something else than the page shows.
        """
        for command, expected in typed_commands(block):
            self._type(command, expected)

    def _type(self, command: str, expected: Sequence[str]) -> None:
        words = shlex.split(command, comments=True)
        if words[0] == "runuser":
            words = words[4:]  # -u USER --
        env = dict(self.env)
        while (match := re.match(r"([A-Z_]+)=(.*)", words[0])) is not None:
            env[match[1]] = self._given_token if match[1] == "ASGI_TUNNEL_TOKEN" else match[2]
            words = words[1:]
        name, arguments = Path(words[0]).name or words[0], [self._here(word) for word in words[1:]]
        if name == "export":
            for one in arguments:
                key, _, value = one.partition("=")
                self.env[key] = self._given_token if key == "ASGI_TUNNEL_TOKEN" else value
        elif name in ASKED:
            if name == "pip":
                _check_requirements(arguments)
        elif name == "asgi-tunnel-edge" and arguments[0] == "run":
            self._run_edge(expected)
        elif name == "asgi-tunnel-edge":
            self._ask_edge(arguments, expected)
        elif name in SERVERS or (name == "asgi-tunnel" and arguments[0] == "run"):
            port = SERVERS.get(name, ())
            self._serve([str(BIN / name), *arguments, *port], expected, env)
        elif name == "make":
            words = [*words, "--dry-run"]
            self._finish(words, [], env, folder=ROOT)
        else:
            program = str(BIN / name) if (BIN / name).exists() else name
            self._finish([program, *arguments], expected, env, folder=self.folder)

    def _here(self, word: str) -> str:
        """A word of the page as it is in this folder."""
        if self._own_edge is not None:
            word = word.replace("localhost:8080", f"localhost:{self._own_edge.port}")
        word = word.replace("/var/lib/asgi-tunnel/", f"{self.folder}/")
        return str(ROOT / word) if word.startswith("examples/") else word

    # -- the edge's commands -----------------------------------------------------------------------

    def _data(self, arguments: Sequence[str]) -> Path:
        given = arguments[arguments.index("--data") + 1] if "--data" in arguments else "edge-data"
        return self.folder / given

    def _ask_edge(self, arguments: list[str], expected: Sequence[str]) -> None:
        data = self._data(arguments)
        if arguments[0] == "init":
            self.close()
            shutil.rmtree(data, ignore_errors=True)
            if "--email" in arguments:
                arguments = [*arguments, "--no-check"]  # nobody is asked about DNS and ports
        elif arguments[0] == "restore":
            self.close()
            shutil.rmtree(data, ignore_errors=True)
        elif not data.exists():
            self._make_edge(data, arguments)
        if arguments[0] in NEED_EDGE and self._own_edge is None:
            self._start_edge(data)
        for option, words in _WITHOUT_NETWORK.items():
            if tuple(arguments[: len(option)]) == option:
                arguments = [*arguments, *words]
        if arguments[:2] == ["service", "install"]:
            arguments = [*arguments, "--unit", str(self.folder / "edge.service"), "--user", "root"]
        done = CliRunner().invoke(edge_cli, arguments, env=self.env)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        allowed = {0, 1} if arguments[0] == "doctor" else {0}
        assert done.exit_code in allowed, f"{arguments}: {done.exit_code}\n{done.output}"
        compare(expected, done.stdout)
        if arguments[0] == "init":
            self._localize(data)
        elif (token := re.search(r"att1\.[\w.-]+", done.stdout)) is not None:
            self._own_token = token[0]

    def _make_edge(self, data: Path, arguments: Sequence[str] = ()) -> None:
        """What the pages have before their first command: an edge with a token, and a ban."""
        shutil.copytree(self.made, data)
        first: list[str] = []
        if "cert" in arguments:
            shutil.rmtree(data)
            first = ["init", "--domain", "example.org", "--email", "me@example.org", "--no-check"]
        elif "create" in arguments:  # the page makes the token itself
            first = ["token", "revoke", "shop"]
        elif list(arguments[:2]) == ["host", "rm"]:
            first = ["host", "add", "shop", "www.myshop.example.net", "--unchecked"]
        if first:
            edge_command(*first, "--data", str(data))
        if "remake" in arguments:  # what is lost
            for name in ("tls/key.pem", "edge.sqlite3"):
                (data / name).unlink()
        if "cert" not in arguments:
            self._localize(data)

    @staticmethod
    def _localize(data: Path) -> None:
        """Give an edge a free port of this machine, and no certificates from Let's Encrypt."""
        path = data / "edge.toml"
        text = path.read_text(encoding="utf-8")
        listen = f'listen = "127.0.0.1:{free_port()}"'
        text = re.sub(r'^listen = ".*"$', listen, text, flags=re.MULTILINE)
        text = re.sub(r'^http_listen = ".*"$', "", text, flags=re.MULTILINE)
        text = re.sub(r'^mode = "acme"$', 'mode = "off"', text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")

    def _start_edge(self, data: Path) -> None:
        self._own_edge = Edge(data)
        self._own_edge.start()

    def _run_edge(self, expected: Sequence[str]) -> None:
        data = self.folder / "edge-data"
        if not data.exists():
            self._make_edge(data)
        if self._own_edge is None:
            self._start_edge(data)
        assert self._own_edge is not None
        _wait_for_lines(expected, self._own_edge.running)

    # -- programs ----------------------------------------------------------------------------------

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        return {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(self.folder), **env}

    def _serve(self, words: list[str], expected: Sequence[str], env: dict[str, str]) -> None:
        """Start a program that serves, wait until its app is live, and end it by Ctrl-C."""
        env = {"ASGI_TUNNEL_TOKEN": self._given_token, **self._environment(env)}
        process: Process = spawn(words, self.folder, env=env, cwd=self.folder)
        try:
            process.wait_for("is live")
            _wait_for_lines(expected, process)
        finally:
            code = process.stop(signal.SIGINT)
        assert "Traceback" not in process.output, process.output
        assert code in {0, 130, -signal.SIGINT}, f"{words}: {code}\n{process.output}"

    def _finish(
        self, words: list[str], expected: Sequence[str], env: dict[str, str], *, folder: Path
    ) -> None:
        """Run a program to its end."""
        env = {"ASGI_TUNNEL_TOKEN": self._given_token, **self._environment(env)}
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        allowed = {0, 1} if "doctor" in words or "check" in words else {0}
        assert done.returncode in allowed, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        compare(expected, done.stdout)


_WITHOUT_NETWORK: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("doctor",): ("--offline",),
    ("host", "add"): ("--unchecked",),
}
"""What keeps a command from asking other machines."""


def typed_commands(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if block.language != "console":
            found += [(line, [])] if line.strip() else []
        elif line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return [(command, shown) for command, shown in found if not command.startswith("#")]


def _pattern(line: str, *, public: bool) -> re.Pattern[str]:
    """What a line of a page stands for: its times, ports and sizes may be others."""
    for mark, stands_for in () if public else _LOCAL:
        line = re.sub(mark, f"\0{stands_for}\0", line)
    parts = line.split("\0")
    for index in range(0, len(parts), 2):
        text = parts[index].lstrip() if index == 0 else parts[index]
        text = re.escape(text.rstrip() if index == len(parts) - 1 else text)
        text = text.replace(re.escape("..."), ".*").replace(r"\ ", r" +")
        text = re.sub(r"\d+(\\\.\d+)?", r"\\d+(\\.\\d+)?", text)
        # A machine that is faster or slower says it in seconds or in minutes.
        parts[index] = re.sub(r"(up \+for \+\S+? \+)(?:s|min|h)\b", r"\1(?:s|min|h)", text)
    return re.compile("".join(parts))


def compare(expected: Sequence[str], output: str, *, public: bool = False) -> None:
    """Find the lines of the page in what was printed, in their order.

    Args:
        expected: The lines of the page.
        output: What was printed.
        public: The edge is at its name, as on the page; otherwise at a port of this machine.

    Raises:
        AssertionError: A line is missing.
    """
    missing = _missing(expected, output, public=public)
    assert missing is None, f"the page shows {missing!r}, which was not printed:\n{output}"


def _missing(expected: Sequence[str], output: str, *, public: bool = False) -> str | None:
    """The first line of the page that is not there, in its order."""
    lines = iter(output.splitlines())
    for shown in expected:
        if not shown.strip() or shown.strip().startswith("#"):
            continue
        pattern = _pattern(shown, public=public)
        if not any(pattern.search(line) for line in lines):
            return shown
    return None


def _wait_for_lines(expected: Sequence[str], process: Process) -> None:
    """Return when a program that serves has printed what the page shows, one after the other."""
    with suppress(AssertionError):  # the next line says what is missing
        wait_until(lambda: _missing(expected, process.output) is None)
    compare(expected, process.output)


@cache
def _known_distributions() -> frozenset[str]:
    pins = [ROOT / "constraints.txt", ROOT / "tests/realapps/requirements.txt"]
    lines = [line for pin in pins for line in pin.read_text("utf-8").splitlines()]
    return frozenset(line.partition("==")[0].lower() for line in lines if "==" in line)


def _check_requirements(arguments: Sequence[str]) -> None:
    """What pip is asked for is ours, with an extra that there is, or one that is pinned here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for word in arguments[1:]:
        if word.startswith("-"):
            continue
        match = re.fullmatch(r"([\w.-]+)(?:\[([\w,-]+)\])?", word)
        if match is None or "/" in word:
            assert (ROOT / word).exists(), f"pip install {word}: there is no such file"
            continue
        name, extras = match[1].lower(), set((match[2] or "").split(",")) - {""}
        if name == "asgi-tunnel":
            assert extras <= set(project["optional-dependencies"]), word
        elif name != "asgi-tunnel-edge":
            assert name in _known_distributions(), f"{word} is pinned nowhere in this repository"


def make_edge(data: Path) -> Path:
    """Make the folder of an edge as the pages have it: with a token and with bans."""
    for words in (
        ["init", "--domain", "example.org", "--listen", "127.0.0.1:8443"],
        ["token", "create", "shop"],
        ["ban", "add", "203.0.113.7"],
        ["ban", "add", "198.51.100.9"],
    ):
        edge_command(*words, "--data", str(data))
    return data
