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
        driver: The plugin in ``drivers/``.
        tests: What pytest collects there.
        arguments: More arguments for pytest.
        hostnames: What the tests call their servers: names of the token.
    """

    name: str
    source: str
    driver: str
    tests: tuple[str, ...] = ("tests",)
    arguments: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ("localhost",)


SUITES: Final = (
    Suite(
        name="starlette",
        source="starlette==1.10.0",
        driver="testclient",
        # The tunnel is asyncio: the half of the tests that runs on trio is left out.
        arguments=("-k", "not trio"),
        hostnames=(
            *("testserver", "*.testserver", "invalidhost", "incorrecthost", "inner"),
            *("example.org", "*.example.org", "example.com", "*.example.com"),
        ),
    ),
    Suite(
        name="fastapi",
        source="fastapi==0.165.0",
        driver="testclient",
        hostnames=("testserver", "example.com", "*.example.com", "listener"),
    ),
)
