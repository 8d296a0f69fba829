from __future__ import annotations

import json
import statistics
import subprocess
import sys

HEAVY = ("asyncio", "anyio", "websockets", "ssl", "logging")
RUNS = 5
LIMIT = 0.005
"""Seconds of CPU time that the import may cost."""


def python(code: str) -> str:
    """Run code in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def test_the_import_pulls_in_nothing_heavy() -> None:
    """A65: servers import apps in processes that never serve, so the import brings nothing in."""
    loaded = json.loads(python("import asgi_tunnel, sys, json; print(json.dumps([*sys.modules]))"))
    assert not [name for name in HEAVY if name in loaded]
    assert not [
        name for name in loaded if name.startswith("asgi_tunnel.") and "_version" not in name
    ]


def test_the_import_costs_next_to_nothing() -> None:
    """A65: beside asyncio, which every server has, the import costs less than 5 ms of CPU."""
    code = (
        "import asyncio, time\n"
        "before = time.process_time()\n"
        "import asgi_tunnel\n"
        "print(time.process_time() - before)"
    )
    costs = [float(python(code)) for _ in range(RUNS)]
    assert statistics.median(costs) < LIMIT, costs


def test_the_wrapper_needs_no_network_library() -> None:
    """A65: an app that is wrapped and has no token loads neither websockets nor anyio."""
    code = (
        "import asgi_tunnel, sys, json\n"
        "asgi_tunnel.Tunnel(print)\n"
        "print(json.dumps([*sys.modules]))"
    )
    loaded = json.loads(python(code))
    assert not [name for name in ("anyio", "websockets") if name in loaded]


def test_every_public_name_can_be_imported() -> None:
    """A65: each lazy name leads somewhere, and an unknown one is an AttributeError."""
    code = (
        "import asgi_tunnel\n"
        "missing = [one for one in asgi_tunnel.__all__ if not getattr(asgi_tunnel, one, None)]\n"
        "print(missing, hasattr(asgi_tunnel, 'nonsense'))"
    )
    assert python(code).strip() == "[] False"
