"""The name under which an app's side is known at the edge."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware

from asgi_tunnel import Tunnel
from asgi_tunnel._version import __version__
from asgi_tunnel.agent import agent_of
from asgi_tunnel.request_log import RequestLog


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An app of no framework."""


@pytest.mark.parametrize(
    ("app", "framework"),
    [
        (FastAPI(), "fastapi/"),
        (Tunnel(FastAPI(), enabled=False), "fastapi/"),
        (GZipMiddleware(Starlette()), "starlette/"),
        (RequestLog(FastAPI()), "fastapi/"),
        (Litestar([]), "litestar/"),
        (Quart(__name__), "quart/"),
    ],
)
def test_frameworks(app: Any, framework: str) -> None:
    """The one that the app was written with, whatever is around it, and its version."""
    name, python, _, last = agent_of(app).split(" ")
    assert name == f"asgi-tunnel/{__version__}"
    assert python.startswith("python/3.")
    assert last.startswith(framework)
    assert last.removeprefix(framework)[0].isdecimal()
    assert len(agent_of(app)) <= 64  # what the edge shows of it


def test_no_framework() -> None:
    """Nothing is made up."""
    assert len(agent_of(plain).split(" ")) == 3
