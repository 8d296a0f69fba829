"""Starts a program twice: as its visitors reach it through a tunnel, and alone."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.harness import Process, Token, spawn, wait_until
from tests.realapps.visit import Place, Program

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
GRACE: Final = 3
"""Seconds for requests in progress at the end, on either side."""
READY: Final = 90.0
"""Seconds for a program to start: some import for ten seconds where the machine has other work."""

_SERVICE: Final = """\
[[services]]
hostname = "{hostname}"
{path}to = "http://127.0.0.1:{port}"
"""
_PATH: Final = """\
path = "{path}"
strip = {strip}
"""


@dataclass(frozen=True)
class Pair:
    """A program that runs twice.

    Attributes:
        tunnel: Its URL through the edge.
        direct: Its URL without.
        processes: By what they are, for messages.
    """

    tunnel: str
    direct: str
    processes: Mapping[str, Process]

    def output(self) -> str:
        """The end of what each process printed."""
        return "\n".join(
            f"-- {name}:\n{process.output[-800:]}" for name, process in self.processes.items()
        )


@dataclass(frozen=True)
class World:
    """What is there before a program starts.

    Attributes:
        folder: Of this program, empty.
        token: Of all its hostnames.
        port: Of the edge.
        certificate: Of the edge; its key is beside it.
    """

    folder: Path
    token: Token
    port: int
    certificate: Path


@contextmanager
def running_app(program: Program, world: World) -> Iterator[Pair]:
    """An ASGI app under `asgi-tunnel run`, and under uvicorn with TLS."""
    app = f"tests.realapps.programs.{program.module}:{program.factory}"
    app_dir = ["--factory", "--app-dir", str(ROOT)]
    tunnel = [str(BIN / "asgi-tunnel"), "run", app, *app_dir, "--grace", str(GRACE)]
    direct = [str(BIN / "uvicorn"), app, *app_dir, "--port", "0", "--no-server-header"]
    direct += ["--ssl-certfile", str(world.certificate)]
    direct += ["--ssl-keyfile", str(world.certificate.with_name("key.pem"))]
    direct += ["--timeout-graceful-shutdown", str(GRACE)]
    processes: dict[str, Process] = {}
    with ExitStack() as stack:
        for name, command, more in (
            ("tunnel", tunnel, {"ASGI_TUNNEL_TOKEN": world.token.token}),
            ("uvicorn", direct, {}),
        ):
            folder = world.folder / name
            folder.mkdir()
            env = {**program.env, **more, "REALAPPS_FOLDER": str(folder)}
            words = [*command, *program.options]
            processes[name] = stack.enter_context(_process(words, folder, env))
        processes["tunnel"].wait_for("is live", timeout=READY)
        port = processes["uvicorn"].find(r"running on https://127.0.0.1:(\d+)", timeout=READY)
        yield Pair(f"https://localhost:{world.port}", f"https://localhost:{port}", processes)


@contextmanager
def running_server(program: Program, world: World) -> Iterator[Pair]:
    """A server on a port of its own, behind the table of `asgi-tunnel run`; and another one."""
    hostname, path = program.hostname, program.path
    processes: dict[str, Process] = {}
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        for name in ("server", "direct"):
            folder = world.folder / name
            folder.mkdir()
            is_below = bool(path) and not (program.strip and name == "direct")
            place = Place(folder, free_port(), path if is_below else "")
            ports[name] = place.port
            env = {**program.env, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
            assert program.start is not None
            command = program.start(place)
            processes[name] = stack.enter_context(_process(command, folder, env, is_ours=False))
        lines = _PATH.format(path=path, strip=str(program.strip).lower()) if path else ""
        table = program.table or _SERVICE
        text = table.format(hostname=hostname, path=lines, port=ports["server"])
        (world.folder / "asgi-tunnel.toml").write_text(text)
        command = [str(BIN / "asgi-tunnel"), "run", "--grace", str(GRACE)]
        env = {"ASGI_TUNNEL_TOKEN": world.token.token}
        processes["tunnel"] = stack.enter_context(_process(command, world.folder, env))
        for name, port in ports.items():
            _wait_for_port(processes[name], port)
        processes["tunnel"].wait_for("is live", timeout=READY)
        direct = f"http://{hostname}:{ports['direct']}{'' if program.strip else path}"
        yield Pair(f"https://{hostname}:{world.port}{path}", direct, processes)


def free_port() -> int:
    """A port that was free a moment ago, for programs that do not say which one they got."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def find_program(name: str) -> str | None:
    """Where a program is; servers are often on root's path only."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def _wait_for_port(process: Process, port: int) -> None:
    def listens() -> bool:
        assert process.is_alive(), f"ended with {process.popen.returncode}:\n{process.output}"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, timeout=READY, what="the server listens")


@contextmanager
def _process(
    command: list[str], folder: Path, env: dict[str, str], *, is_ours: bool = True
) -> Iterator[Process]:
    """A process that ends at SIGTERM, which is part of what is shown where it is ours."""
    process = spawn(command, folder, env=env, cwd=folder)
    try:
        yield process
    finally:
        if process.is_alive():
            process.popen.send_signal(signal.SIGTERM)
            try:
                process.popen.wait(GRACE + 7)
            except subprocess.TimeoutExpired:
                process.kill()
                if is_ours:
                    raise AssertionError(f"{command[0]} did not end after SIGTERM") from None
