"""Runs Python blocks in a process of their own: each is executed, and its app served once.

Usage: python -m tests.blocks.serve FOLDER. ``FOLDER/cases.json`` names the files in the order in
which they are run; ``FOLDER/results.json`` gets, for each, nothing or what went wrong. What all
blocks may import (a Django project, say) is in ``FOLDER/shared``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import anyio

from asgi_tunnel.testing import LocalEdge

APPS = ("app", "application", "behind_a_server")
"""Names of what is served."""


async def visit(app: Any) -> None:
    """Serve an app behind an edge in memory, and ask it for its front page."""
    async with LocalEdge(app) as edge:
        response = await edge.get("/")
    if response.status >= 500:
        raise AssertionError(f"GET / is {response.status}: {response.text[:200]}")


def run(path: Path) -> None:
    """Execute one file as a module, and serve each app that it makes."""
    sys.path.insert(0, str(path.parent))
    os.chdir(path.parent)
    before = set(sys.modules)
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        for name in APPS:
            app = getattr(module, name, None)
            if app is not None:
                served = getattr(app, "asgi_app", app) if not callable(app) else app
                anyio.run(visit, served)
    finally:
        sys.path.remove(str(path.parent))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if Path(file).parent == path.parent:
                del sys.modules[name]


def main(folder: Path) -> None:
    """Run all of a folder."""
    sys.path.append(str(folder / "shared"))
    results = {}
    for name in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
        try:
            run(folder / name)
            results[name] = ""
        except BaseException:  # noqa: BLE001 - a block may do anything; the next one is run too
            results[name] = traceback.format_exc()
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
