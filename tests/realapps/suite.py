"""Runs each program through an edge and alone, and compares what its visitors saw."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import subprocess
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.e2e.harness import running_edge
from tests.realapps import programs
from tests.realapps.differences import Allowed, allowed
from tests.realapps.running import World, find_program, running_app, running_server
from tests.realapps.visit import HOSTNAME, Program, Step, Visit


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
    """One edge, and one program after another behind it.

    Args:
        folder: Empty.
        shots: Gets a picture of the last page of each browser; None: no pictures.
    """

    def __init__(self, folder: Path, *, shots: Path | None = None) -> None:
        self.folder = folder
        self.shots = shots

    def run(self, chosen: list[Program]) -> Iterator[Result]:
        """Yield a result for each program, in turn."""
        with running_edge(self.folder, tls="internal", domain=HOSTNAME) as edge:
            names = ["--hostname", "localhost", "--hostname", HOSTNAME]
            token = edge.create_token("suite", *names)
            for number, program in enumerate(chosen):
                folder = self.folder / f"{number}"
                folder.mkdir()
                certificate = edge.folder / "tls" / "certificate.pem"
                yield self._one(program, World(folder, token, edge.port, certificate))

    def _one(self, program: Program, world: World) -> Result:
        began = time.monotonic()
        missing = [name for name in program.needs if find_program(name) is None]
        try:
            installed = _version(program)
        except (ModuleNotFoundError, FileNotFoundError):
            missing, installed = [*missing, program.distribution], ""
        if missing:
            missing = list(dict.fromkeys(missing))
            return Result(program, installed, "skipped", (f"not here: {', '.join(missing)}",))
        details: list[str] = []
        differences: list[Allowed] = []
        output = ""
        seen: list[Step] = []
        running = running_app if program.start is None else running_server
        try:
            with running(program, world) as pair:
                try:
                    expected = self._visit(program, world, pair.direct, "direct")
                    seen = self._visit(program, world, pair.tunnel, "tunnel")
                finally:
                    output = pair.output()
            for fact, ours, theirs in compare(seen, expected):
                row = allowed(program.name, fact)
                if row is None:
                    details.append(f"{fact}\n    tunnel: {ours!r}\n    direct: {theirs!r}")
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

    def _visit(self, program: Program, world: World, base: str, name: str) -> list[Step]:
        folder = world.folder / f"visit-{name}"
        folder.mkdir()
        shot = None
        if self.shots is not None:
            shot = self.shots / f"{program.name.lower().replace(' ', '-')}-{name}.png"
        visit = Visit(base, world.certificate, folder, shot=shot)
        done = program.job(visit)
        if inspect.iscoroutine(done):
            asyncio.run(asyncio.wait_for(done, 120))
        return visit.steps


def _version(program: Program) -> str:
    if program.version is not None:
        return program.version()
    if program.distribution not in program.needs:
        return version(program.distribution)
    command = find_program(program.distribution)
    if command is None:
        return ""
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[2]  # "git version 2.39.5"


def compare(seen: list[Step], expected: list[Step]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each fact that differs: its name, ours and that of the program alone."""
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
