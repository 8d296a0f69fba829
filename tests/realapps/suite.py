"""Runs each program through an edge and on uvicorn, and compares what its visitors saw."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.e2e.harness import Process, Token, running_edge, spawn
from tests.realapps import programs
from tests.realapps.differences import Allowed, allowed
from tests.realapps.visit import Program, Step, Visit

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
GRACE: Final = 3
"""Seconds for requests in progress at the end, on either side."""
READY: Final = 90.0
"""Seconds for an app to start: some import for ten seconds where the machine has other work."""


@dataclass(frozen=True)
class Result:
    """What came of one program."""

    program: Program
    version: str
    verdict: str  # "yes", "no" or "skipped"
    details: tuple[str, ...] = ()
    differences: tuple[Allowed, ...] = ()
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()  # through the tunnel


def known_programs() -> list[Program]:
    """Return every program of programs/, by name."""
    found: list[Program] = []
    for module in pkgutil.iter_modules(programs.__path__):
        found += importlib.import_module(f"{programs.__name__}.{module.name}").PROGRAMS
    return sorted(found, key=lambda program: program.name.lower())


class Suite:
    """One edge, and one program after another behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, chosen: list[Program]) -> Iterator[Result]:
        """Yield a result for each program, in turn."""
        with running_edge(self.folder, tls="internal", domain="localhost") as edge:
            token = edge.create_token("suite", "--hostname", "localhost")
            for number, program in enumerate(chosen):
                folder = self.folder / f"{number}"
                folder.mkdir()
                certificate = edge.folder / "tls" / "certificate.pem"
                yield self._one(program, folder, token, edge.port, certificate)

    def _one(
        self, program: Program, folder: Path, token: Token, port: int, certificate: Path
    ) -> Result:
        began = time.monotonic()
        missing = [name for name in program.needs if shutil.which(name) is None]
        try:
            installed = _version(program)
        except ModuleNotFoundError:
            missing, installed = [*missing, program.distribution], ""
        if missing:
            return Result(program, installed, "skipped", (f"not here: {', '.join(missing)}",))
        details: list[str] = []
        differences: list[Allowed] = []
        output = ""
        seen: list[Step] = []
        try:
            with ExitStack() as stack:
                tunnel = stack.enter_context(_started(program, folder / "tunnel", token))
                direct = stack.enter_context(
                    _started(program, folder / "direct", certificate=certificate)
                )
                try:
                    tunnel.wait_for("is live", timeout=READY)
                    direct.wait_for("Uvicorn running on", timeout=READY)
                    found = re.search(r"running on https://127.0.0.1:(\d+)", direct.output)
                    assert found, direct.output
                    expected = _visit(program, folder / "v1", int(found[1]), certificate)
                    seen = _visit(program, folder / "v2", port, certificate)
                finally:
                    output = f"-- the app, tunnel:\n{tunnel.output[-800:]}"
                    output += f"\n-- the app, uvicorn:\n{direct.output[-800:]}"
            for fact, ours, theirs in compare(seen, expected):
                row = allowed(program.name, fact)
                if row is None:
                    details.append(f"{fact}\n    tunnel:  {ours!r}\n    uvicorn: {theirs!r}")
                elif row not in differences:
                    differences.append(row)
        except Exception:  # noqa: BLE001 - the outer edge of one case: the others run on
            details.append(f"{traceback.format_exc()[-2500:]}{output}")
        return Result(
            program,
            installed,
            "no" if details else "yes",
            tuple(details),
            tuple(differences),
            time.monotonic() - began,
            tuple(seen),
        )


def _version(program: Program) -> str:
    if program.distribution not in program.needs:
        return version(program.distribution)
    if shutil.which(program.distribution) is None:
        return ""
    command = [program.distribution, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()[2]  # "git version 2.39.5"


@contextmanager
def _started(
    program: Program, folder: Path, token: Token | None = None, certificate: Path | None = None
) -> Iterator[Process]:
    folder.mkdir()
    app = f"tests.realapps.programs.{program.module}:{program.factory}"
    env = {**program.env, "REALAPPS_FOLDER": str(folder)}
    if token is not None:
        command = [str(BIN / "asgi-tunnel"), "run", app, "--factory", "--app-dir", str(ROOT)]
        command += ["--grace", str(GRACE)]
        env["ASGI_TUNNEL_TOKEN"] = token.token
    else:
        assert certificate is not None
        command = [str(BIN / "uvicorn"), app, "--factory", "--app-dir", str(ROOT), "--port", "0"]
        command += ["--ssl-certfile", str(certificate), "--no-server-header"]
        command += ["--ssl-keyfile", str(certificate.with_name("key.pem"))]
        command += ["--timeout-graceful-shutdown", str(GRACE)]
    process = spawn([*command, *program.options], folder, env=env, cwd=folder)
    try:
        yield process
    finally:
        if process.is_alive():
            process.popen.send_signal(signal.SIGTERM)
            try:
                process.popen.wait(GRACE + 7)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{command[0]} did not end after SIGTERM") from None


def _visit(program: Program, folder: Path, port: int, certificate: Path) -> list[Step]:
    folder.mkdir()
    visit = Visit(f"https://localhost:{port}", certificate, folder)
    done = program.job(visit)
    if inspect.iscoroutine(done):
        asyncio.run(asyncio.wait_for(done, 120))
    return visit.steps


def compare(seen: list[Step], expected: list[Step]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each fact that differs: its name, ours and uvicorn's."""
    ours, theirs = [step.label for step in seen], [step.label for step in expected]
    if ours != theirs:
        yield "the steps", ours, theirs
        return
    for ours_step, theirs_step in zip(seen, expected, strict=True):
        label, left, right = ours_step.label, dict(ours_step.facts), dict(theirs_step.facts)
        left_fields, right_fields = left.pop("headers", {}), right.pop("headers", {})
        for name in sorted(left_fields.keys() | right_fields.keys()):
            if left_fields.get(name) != right_fields.get(name):
                yield f"{label}: header {name}", left_fields.get(name), right_fields.get(name)
        for name in sorted(left.keys() | right.keys()):
            if left.get(name) != right.get(name):
                yield f"{label}: {name}", left.get(name), right.get(name)
