"""Pebble, once for all tests of a process; skipped where it is not built."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.acme import AcmeClient, HttpTokens

from .pebble import FOLDER, Pebble, http_server, start_pebble


@pytest.fixture(scope="session")
def pebble_built() -> None:
    """Skip where it is not there; `make acme` builds it, and does not skip."""
    if not (FOLDER / "version").exists():
        if os.environ.get("ACME_REQUIRED"):
            pytest.fail("pebble is not built; run `scripts/pebble.sh`")
        pytest.skip("pebble is not built; `make acme` builds it and runs these tests")


@pytest.fixture(scope="session")
def pebble(pebble_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """A CA that refuses 30 nonces of 100, and its DNS server."""
    with start_pebble(tmp_path_factory.mktemp("pebble")) as one:
        yield one


@pytest.fixture
async def client(pebble: Pebble) -> AsyncIterator[AcmeClient]:
    """A client with a new key and no account."""
    async with pebble.client() as one:
        yield one


@pytest.fixture
async def tokens(pebble: Pebble) -> AsyncIterator[HttpTokens]:
    """The solver of http-01, with a server on the port where pebble looks."""
    one = HttpTokens()
    async with http_server(one, pebble.http_port):
        yield one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for certificates of test servers."""
    return tmp_path / "own"
