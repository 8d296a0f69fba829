"""Which suites there are: where each comes from, and what puts its apps behind a tunnel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite.

    Attributes:
        name: For ONLY, and of its file in ``expected/``.
        source: Requirement of the source distribution that its tests come from.
        environment: What it runs in: a file in ``requirements/``.
        driver: The plugin in ``drivers/``.
        tests: What pytest collects there.
        arguments: More arguments for pytest.
        hostnames: What the tests call their servers: names of the token.
        schemes: What their visitors speak; there is an edge for each.
        without_dependencies: Packages whose own requirements are not wanted.
        is_quick: It belongs to the short form, for CI.
    """

    name: str
    source: str
    environment: str
    driver: str
    tests: tuple[str, ...] = ("tests",)
    arguments: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ("localhost",)
    schemes: tuple[str, ...] = ("http",)
    without_dependencies: tuple[str, ...] = ()
    is_quick: bool = False


SUITES: Final = (
    Suite(
        name="starlette",
        source="starlette==1.10.0",
        environment="frameworks",
        driver="testclient",
        schemes=("http", "https"),
        # The tunnel is asyncio: the half of the tests that runs on trio is left out. And one test
        # takes away a permission that root does not need.
        arguments=("-k", "not trio and not invalid_dir_permissions"),
        hostnames=(
            *("testserver", "*.testserver", "invalidhost", "incorrecthost", "inner"),
            *("example.org", "*.example.org", "example.com", "*.example.com", "api_service"),
        ),
    ),
    Suite(
        name="fastapi",
        source="fastapi==0.165.0",
        environment="frameworks",
        driver="testclient",
        schemes=("http", "https"),
        # One tests a script that is not in the source distribution; the others start processes of
        # their own, each with 15 s to end, and nothing of those comes here.
        arguments=(
            "--ignore=tests/test_prepare_release.py",
            "--ignore=tests/test_telemetry/test_environment_integrations.py",
            "--ignore=tests/test_telemetry/test_integrations.py",
            "--ignore=tests/test_telemetry/test_native_integrations.py",
            *("-k", "not test_real_otlp"),
        ),
        hostnames=(
            *("testserver", "example.com", "*.example.com", "listener", "invalidhost"),
            *("public.example", "host-1.example", "host-2.example"),
        ),
    ),
    Suite(
        name="uvicorn",
        source="uvicorn==0.54.0",
        environment="servers",
        driver="run_server",
        tests=("tests/protocols/test_websocket.py",),
        # Each test runs once for every pair of uvicorn's own parsers: one pair is left.
        arguments=("-k", "h11 and not sansio"),
        is_quick=True,
    ),
    Suite(
        name="gunicorn",
        source="gunicorn==27.0.1",
        environment="servers",
        driver="request_files",
        tests=("tests/test_valid_requests.py", "tests/test_invalid_requests.py"),
        arguments=("-k", "python", "-o", "asyncio_mode="),
        hostnames=("localhost", "example.com", "evil.example.com", "victim.com", "a", "x"),
        is_quick=True,
    ),
    Suite(
        name="requests",
        source="requests==2.34.2",
        environment="requests",
        driver="httpbin_server",
        schemes=("http", "https"),
        # Four tests need a network in which packets to a private address are lost.
        arguments=("-k", "not test_connect_timeout and not test_total_timeout_connect"),
        hostnames=("localhost", "httpbin.org"),
        without_dependencies=("httpbin==0.10.4", "pytest-httpbin==2.1.0"),
    ),
    Suite(
        name="daphne",
        source="daphne==4.2.3",
        environment="servers",
        driver="daphne_instance",
        tests=tuple(
            f"tests/test_{one}.py" for one in ("http_request", "http_response", "websocket")
        ),
        hostnames=("localhost", "example.com"),
    ),
)
