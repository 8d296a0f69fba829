"""What a benchmark is made of: systems that serve the same app, and workloads that drive them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

HOSTNAME = "shop.example.test"
"""The name each request carries: the tunnels that route by name need one."""

HTTPS_HOSTNAME = "localhost"
"""The same for systems with TLS: wrk asks for a certificate by the name that it connects to."""


@dataclass(frozen=True)
class Running:
    """One system that serves ``benchmarks.app`` right now.

    Attributes:
        name: Of the system.
        host: The address that visitors connect to.
        port: The port that visitors connect to.
        processes: Ids of its processes by role ("edge", "app", "frps", ...), for CPU and memory.
        root: Certificate of the CA that visitors trust: they speak TLS. None: they do not.
    """

    name: str
    host: str
    port: int
    processes: dict[str, int]
    root: Path | None = None

    @property
    def hostname(self) -> str:
        """The name that visitors ask for."""
        return HOSTNAME if self.root is None else HTTPS_HOSTNAME

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        if self.root is None:
            return f"http://{self.host}:{self.port}"
        return f"https://{self.hostname}:{self.port}"


@dataclass(frozen=True)
class System:
    """A way to serve the app.

    Attributes:
        name: As in the tables.
        start: Starts it and ends it; it gets a folder for its files.
        version: What is measured, with the settings that matter, in one line.
        missing: Why it cannot be measured here, or an empty string.
        is_direct: No tunnel: visitors reach the app's own port.
        is_tls: Visitors speak TLS; for the workloads that name it only.
    """

    name: str
    start: Callable[[Path], AbstractContextManager[Running]]
    version: Callable[[], str]
    missing: Callable[[], str] = lambda: ""
    is_direct: bool = False
    is_tls: bool = False


@dataclass(frozen=True)
class Scale:
    """How long to measure.

    Attributes:
        seconds: Of one load.
        rounds: How often each system is measured, in turn with the others.
        share: Fraction of the sizes and counts that a full run uses.
        repeats: How often a round is measured again in which the machine was not its own.
    """

    seconds: float
    rounds: int
    share: float
    repeats: int = 3


FULL = Scale(seconds=5.0, rounds=5, share=1.0)
QUICK = Scale(seconds=0.5, rounds=1, share=0.02, repeats=0)


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: Such as "requests/s".
        unit: Of the number.
        more_is_better: Which direction is an improvement.
    """

    name: str
    unit: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Workload:
    """One kind of load.

    Attributes:
        name: For ``ONLY=``, and in the report.
        title: One line for the report.
        figures: What :attr:`run` measures, by key.
        run: Drives a running system once and returns its figures; a missing key was not measured.
        systems: Names of the systems it is for; empty: all without TLS.
        missing: Why it cannot be measured here, or an empty string.
        is_quick: A run that only shows that all works has it, too.
    """

    name: str
    title: str
    figures: dict[str, Figure]
    run: Callable[[Running, Scale], dict[str, float]]
    systems: frozenset[str] = field(default_factory=frozenset)
    missing: Callable[[], str] = lambda: ""
    is_quick: bool = True


@dataclass(frozen=True)
class Scene:
    """A measurement that brings its own world: a shaped link, a thousand tunnels, an import.

    Attributes:
        name: For ``ONLY=``, and in the report.
        title: One line for the report.
        figures: What :attr:`run` measures, by key.
        run: Measures once; the outer key is a system's name ("asgi-tunnel" when there is one).
        missing: Why it cannot be measured here, or an empty string.
    """

    name: str
    title: str
    figures: dict[str, Figure]
    run: Callable[[Path, Scale], dict[str, dict[str, float]]]
    missing: Callable[[], str] = lambda: ""
