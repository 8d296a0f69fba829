"""Every form of the bus, for the tests that all have to pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from .world import LocalWorld, ParentWorld, World

WORLDS: Final[dict[str, Callable[[pytest.FixtureRequest], World]]] = {
    "local": lambda _: LocalWorld(),
    "parent": lambda _: ParentWorld(),
}


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Nodes on one form of the bus."""
    made = WORLDS[request.param](request)
    yield made
    await made.close()
