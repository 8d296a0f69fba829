"""Whether all tests see the compiled code (``make test COMPILED=1``) or the plain one.

Compiled classes insist on the types that their annotations name, cannot be subclassed by plain
Python, and have their constants inside. A test that needs one of these carries the marker
``plain``; it shows the same code, uncompiled (docs/adr/0006-compiled-wheels.md).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

import pytest
from edge.tests.postgres import MISSING, PostgresServer, find_programs
from edge.tests.quick_database import quick_upgrade

import asgi_tunnel.session
import asgi_tunnel_edge.exchange.http

_FILES = (asgi_tunnel.session.__file__ or "", asgi_tunnel_edge.exchange.http.__file__ or "")
_PLAIN = [file for file in _FILES if not file.endswith(tuple(EXTENSION_SUFFIXES))]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--compiled``."""
    parser.addoption(
        "--compiled", action="store_true", help="fail unless the code under test is compiled"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGINT end something; end a run that was to show compiled code, and would show another.

    Raises:
        pytest.UsageError: A module comes from a source file.
    """
    _load_profile()
    # A shell starts what it runs in the background with SIGINT ignored, and children inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--compiled") and _PLAIN:
        raise pytest.UsageError(
            f"--compiled, but {_PLAIN[0]} is a source file: run `make test COMPILED=1`, which uses"
            " an environment with compiled wheels."
        )


def _load_profile() -> None:
    """Let no example fail for its time, which says how loaded the machine is.

    The examples are the same in each run, so that a change is judged by what it changed;
    ``EXPLORE`` in the environment asks for others.
    """
    if find_spec("hypothesis"):  # browsers and MCP clients are tested without it
        from hypothesis import HealthCheck, settings

        quiet = [HealthCheck.too_slow]
        settings.register_profile(
            "loaded",
            deadline=None,
            suppress_health_check=quiet,
            derandomize="EXPLORE" not in os.environ,
        )
        settings.load_profile("loaded")


@pytest.fixture(scope="session", autouse=True)
def _own_pins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What apps keep is not put into the folders of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        if "ASGI_TUNNEL_PINS" not in os.environ:
            patch.setenv("ASGI_TUNNEL_PINS", str(tmp_path_factory.getbasetemp() / "pins"))
        if "ASGI_TUNNEL_STATUS" not in os.environ:
            patch.setenv("ASGI_TUNNEL_STATUS", "off")
        yield


@pytest.fixture(autouse=True)
def _quick_databases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests about other things than making tables have a new database at once."""
    if request.node.get_closest_marker("makes_tables") is None and (found := quick_upgrade()):
        monkeypatch.setattr(found[0], "_upgrade", found[1])


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    """The server of this test process; it is started with the first test that needs it."""
    programs = find_programs()
    if programs is None:
        if os.environ.get("POSTGRESQL_REQUIRED"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = PostgresServer(programs)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(_postgres: PostgresServer) -> PostgresServer:
    """A PostgreSQL that runs, whatever the test before has done to it."""
    _postgres.start()
    return _postgres


def pytest_report_header() -> str:
    """Say which of the two it is."""
    return f"asgi-tunnel: {'plain' if _PLAIN else 'compiled'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with real processes first; skip what needs plain Python when anything is compiled.

    First, because ``make test`` hands out whole files: one of a minute that comes last leaves the
    other workers with nothing to do.
    """
    real = {item.path for item in items if item.get_closest_marker("e2e")}
    items.sort(key=lambda item: item.path not in real)
    if len(_PLAIN) == len(_FILES):
        return
    skip = pytest.mark.skip(reason="needs plain Python: see the marker in pyproject.toml")
    for item in items:
        if item.get_closest_marker("plain"):
            item.add_marker(skip)
