"""Starts real edges and real apps as processes, and ends exactly those.

Each process gets a temporary folder and a port that nobody else gets; what it printed is part of a
failure's message.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from click.testing import CliRunner

from asgi_tunnel_edge.cli import main as edge_cli
from asgi_tunnel_edge.control import connect_control

from .ports import free_port

T = TypeVar("T")

READY_TIMEOUT = 30.0
"""Seconds for a process to say that it is ready, on a loaded machine."""

BIN = Path(sys.executable).parent

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP, which without it read the machine's CA certificates first: 30 ms."""


def wait_until(condition: Callable[[], object], *, timeout: float = 15.0, what: str = "") -> None:
    """Return when ``condition()`` is true; fail with ``what`` when it is not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout:g} s: {what or condition}")
        time.sleep(0.02)


def slowdown() -> float:
    """Return how much longer than its own work this thread takes now; 1.0 where a core is free.

    What is promised in seconds is promised for such a machine: a test multiplies it by this.
    """
    began, own = time.monotonic(), time.thread_time()
    while time.thread_time() - own < 0.1:
        pass
    return max((time.monotonic() - began) / 0.1, 1.0)


def allowed(seconds: float, since: float) -> float:
    """Return how long something may take that is promised in ``seconds``, on this machine now.

    Args:
        seconds: For a machine with a core that is free.
        since: When it began, in monotonic seconds: what the machine stood still since is added.
    """
    return seconds * slowdown() + sum(late for at, late in _stalls if at >= since)


_stalls: deque[tuple[float, float]] = deque(maxlen=1000)
"""When this process stood still for longer than :data:`_STALL`, and for how long."""

_STALL = 0.03


def _watch() -> None:
    never = threading.Event()  # tests replace time.sleep
    while True:
        began = time.monotonic()
        never.wait(0.05)
        late = time.monotonic() - began - 0.05
        if late > _STALL:
            _stalls.append((time.monotonic(), late))


threading.Thread(target=_watch, daemon=True, name="stalls").start()


@dataclass
class Process:
    """A child with its output in a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process id: of an edge, that of the process which serves, once it does."""
        return serving_process(self.popen.pid)

    @property
    def output(self) -> str:
        """All it has printed, both streams."""
        return self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def wait_for(self, text: str, *, timeout: float = READY_TIMEOUT, count: int = 1) -> None:
        """Return when it has printed ``text`` ``count`` times."""
        self._look(lambda: self.output.count(text) >= count, repr(text), timeout)

    def find(self, pattern: str, *, timeout: float = READY_TIMEOUT) -> str:
        """Wait for a line that matches, and return the pattern's group in the first one.

        Two lines that are printed at once come one after the other, so what a test reads from a
        line has to be waited for in that line.
        """
        line = re.compile(rf"{pattern}.*\n")
        found = self._look(lambda: line.search(self.output), pattern, timeout)
        return found[1]

    def _look(self, look: Callable[[], T | None], what: str, timeout: float) -> T:
        """Return what ``look`` finds in the output; it can be the last that a process prints."""
        deadline = time.monotonic() + timeout
        while True:
            is_alive = self.is_alive()
            if found := look():
                return found
            if not is_alive:
                raise AssertionError(
                    f"ended with {self.popen.returncode} before {what}:\n{self.output}"
                )
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} in {timeout:g} s:\n{self.output}")
            time.sleep(0.02)

    def rss(self) -> int:
        """Resident bytes now."""
        return _status(self.pid, "VmRSS")

    def peak_rss(self) -> int:
        """The most resident bytes so far."""
        return _status(self.pid, "VmHWM")

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 20.0) -> int:
        """Send a signal and return the exit code; kills when it does not end."""
        if self.is_alive():
            self.popen.send_signal(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"did not end in {timeout:g} s:\n{self.output}") from None

    def kill(self) -> None:
        """End it without a word."""
        self.popen.kill()
        self.popen.wait()


def serving_process(pid: int) -> int:
    """Return the process that serves for the parent ``pid``, or ``pid`` where it is no parent."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return pid
    is_edge = any(word.endswith(b"asgi-tunnel-edge") for word in command[:3])
    return int(children[-1]) if is_edge and children else pid


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {key} for {pid}")


@dataclass
class Token:
    """What ``token create --json`` prints."""

    token: str
    id: str
    hostnames: list[str]
    urls: list[str]
    end_to_end: list[str] = field(default_factory=list)


@dataclass
class Edge:
    """One edge: its folder, and its process while it runs."""

    folder: Path
    domain: str = "example.test"
    process: Process | None = None
    port: int = 0
    _restart_port: int = field(default=0, repr=False)

    @property
    def running(self) -> Process:
        """The process of the running edge."""
        assert self.process is not None
        return self.process

    def start(self) -> None:
        """Start it, or start it again on the same port."""
        self.process = spawn(
            [str(BIN / "asgi-tunnel-edge"), "run", "--data", str(self.folder)], self.folder
        )
        self.process.wait_for("listening on ")
        wait_until(self._takes_commands, what="its parent takes commands")
        self.port = int((self.folder / "edge.address").read_text().strip().rsplit(":", 1)[1])
        own, table, rest = (self.folder / "edge.toml").read_text().partition("\n[")
        own = own.replace(':0"', f':{self.port}"', 1)
        (self.folder / "edge.toml").write_text(f"{own}{table}{rest}")

    def _takes_commands(self) -> bool:
        try:
            connect_control(str(self.folder)).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it with SIGTERM."""
        if self.process is not None:
            self.process.stop()

    def create_token(self, name: str, *options: str) -> Token:
        """Make a token for NAME.DOMAIN; return once the edge, if it runs, knows it."""
        token = Token(**json.loads(self.command("token", "create", name, "--json", *options)))
        if self.process is not None and self.process.is_alive():
            snapshot = self.folder / "snapshot.json"
            wait_until(lambda: token.id in snapshot.read_text(), what="the edge knows the token")
        return token

    def command(self, *arguments: str) -> str:
        """Run ``asgi-tunnel-edge ... --data FOLDER`` and return what it printed."""
        return edge_command(*arguments, "--data", str(self.folder))

    def url(self, hostname: str, path: str = "") -> str:
        """Where the listener is; send ``Host: hostname`` with it."""
        return f"http://127.0.0.1:{self.port}{path}"


def edge_command(*arguments: str) -> str:
    """Run a short ``asgi-tunnel-edge`` command and return what it printed.

    In this process: it takes 0.03 s, where a new one first imports SQLAlchemy for 0.9 s. What a
    process of its own adds (exit codes, signals) is tested in ``edge/tests/test_cli.py``.
    """
    done = CliRunner().invoke(edge_cli, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def spawn(
    command: Sequence[str],
    folder: Path,
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | None = None,
) -> Process:
    """Start a child whose output goes to a new file in ``folder``."""
    handle, name = tempfile.mkstemp(prefix="output-", suffix=".log", dir=folder)
    full = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
    for variable in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):  # they say: this is pytest
        full.pop(variable, None)
    with os.fdopen(handle, "wb") as output:
        popen = subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=full,
            cwd=cwd,
        )
    return Process(popen, Path(name))


@contextmanager
def running_edge(
    folder: Path,
    *,
    tls: str = "off",
    host: str = "127.0.0.1",
    domain: str = "example.test",
    first: str = "",
    settings: str = "",
    limits: str = "",
    proxies: str = "",
    guards: str = "",
    metrics: str = "",
    prepare: Callable[[Path], object] = lambda data: None,
) -> Iterator[Edge]:
    """An edge on loopback.

    Args:
        folder: Gets the edge's own folder.
        tls: As ``init --tls``.
        host: A loopback address, with its brackets.
        domain: As ``init --domain``.
        first: Lines for the beginning of edge.toml, before any table.
        settings: Added at the end of it.
        limits: Lines for its ``[limits]``.
        proxies: Lines for its ``[proxies]``.
        guards: Lines for its ``[guards]``.
        metrics: Lines for its ``[metrics]``.
        prepare: Called with the edge's folder before it starts.
    """
    data = folder / "edge"
    # A port of its own, which it has again after a restart.
    listen = f"{host}:{free_port(host.strip('[]'))}"
    where = ["--data", str(data), "--domain", domain, "--listen", listen]
    edge_command("init", *where, "--tls", tls)
    if first or settings or limits or proxies or guards or metrics:
        text = f"{first}\n{(data / 'edge.toml').read_text()}"
        text = text.replace("[proxies]\n", f"[proxies]\n{proxies}\n", 1)
        text = text.replace("[guards]\n", f"[guards]\n{guards}\n", 1)
        text = text.replace("[metrics]\n", f"[metrics]\n{metrics}\n", 1)
        text = text.replace("[limits]\n", f"[limits]\n{limits}\n", 1) + f"\n{settings}\n"
        (data / "edge.toml").write_text(text)
    prepare(data)
    edge = Edge(data, domain)
    edge.start()
    try:
        yield edge
    finally:
        if edge.process is not None and edge.process.is_alive():
            edge.process.stop()


@contextmanager
def running_app(
    folder: Path,
    token: Token | str,
    app: str,
    *options: str,
    app_dir: Path | None = None,
    env: dict[str, str] | None = None,
    ready: str = "is live",
) -> Iterator[Process]:
    """An app under ``asgi-tunnel run``, live when the block starts."""
    text = token if isinstance(token, str) else token.token
    command = [str(BIN / "asgi-tunnel"), "run", app, "--app-dir", str(app_dir or folder), *options]
    process = spawn(command, folder, env={"ASGI_TUNNEL_TOKEN": text, **(env or {})})
    try:
        process.wait_for(ready)
        yield process
    finally:
        if process.is_alive():
            process.stop()


def listening_sockets(pid: int) -> list[str]:
    """Return the TCP sockets that a process listens on, from the kernel's own tables."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                found.append(columns[1])
    return found
