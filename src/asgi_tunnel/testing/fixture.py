"""The pytest fixture ``local_edge``.  The only module of the app's side that imports pytest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from ..asgi.types import ASGIApp
from .edge import LocalEdge


class ServeLocally(Protocol):
    """What the fixture gives: ``edge = await local_edge(app)``."""

    async def __call__(self, app: ASGIApp, **options: Any) -> LocalEdge:
        """Serve ``app`` until the test is over; ``options`` are those of :class:`LocalEdge`."""


@pytest.fixture
async def local_edge(
    anyio_backend: object,  # noqa: ARG001 - anyio runs the fixtures that name it
) -> AsyncIterator[ServeLocally]:
    """Serve apps behind edges in memory until the test is over."""
    async with AsyncExitStack() as edges:

        async def serve(app: ASGIApp, **options: Any) -> LocalEdge:
            return await edges.enter_async_context(LocalEdge(app, **options))

        yield serve
