"""What ``import asgi_tunnel`` costs an app that starts."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.model import Figure, Scale, Scene

ROUNDS = 20

_BASE = "import asyncio"
_STATEMENTS = {
    _BASE: "import asyncio",
    "asgi-tunnel": "import asyncio, asgi_tunnel",
    "asgi-tunnel, app wrapped": (
        "import asyncio; from asgi_tunnel import Tunnel; Tunnel(lambda scope, receive, send: None)"
    ),
}


def _cpu(statement: str) -> float:
    """Return the CPU milliseconds of a fresh interpreter that runs a statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3


def run(_folder: Path, scale: Scale) -> dict[str, dict[str, float]]:
    """Start interpreters, with the two imports in turn."""
    for statement in _STATEMENTS.values():
        _cpu(statement)  # the compiled files and the page cache
    rounds = max(3, round(ROUNDS * scale.share))
    times: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for _ in range(rounds):
        for name, statement in _STATEMENTS.items():
            times[name].append(_cpu(statement))
    base = times[_BASE]
    figures = {}
    for name, mine in times.items():
        added = [one - other for one, other in zip(mine, base, strict=True)]
        figures[name] = {"cpu_ms": median(mine)}
        if name != _BASE:
            figures[name]["added_ms"] = median(added)
    return figures


SCENE = Scene(
    name="imports",
    title="CPU of a fresh interpreter with `import asyncio`, and with `import asgi_tunnel` on top",
    figures={
        "cpu_ms": Figure("CPU of the interpreter", "ms"),
        "added_ms": Figure("CPU added by asgi_tunnel", "ms"),
    },
    run=run,
)
