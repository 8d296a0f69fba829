"""Runs one suite: its edges, and pytest in its own environment and folder."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.e2e.harness import running_edge

from .environment import BUILD, HERE, install, unpack
from .outcomes import Outcome
from .suites import Suite

SUITE_TIMEOUT: Final = 2400.0
"""Seconds for one suite; the longest takes 200 on an idle machine, and five times that on a busy
one."""

TEST_TIMEOUT: Final = 60.0
"""Seconds for one test."""

NO_PLUGINS: Final = ("-p", "no:logfire", "-p", "no:codspeed")
"""Plugins that come with what the suites need, and get in the way."""

GUARDS: Final = "scanner = false"  # the tests ask for paths that scanners ask for, too

TLS: Final = {"http": "off", "https": "internal"}
"""What an edge has for what its visitors speak."""


class SuiteError(Exception):
    """pytest could not be run, or took too long."""


def run_suite(suite: Suite, arguments: list[str]) -> dict[str, Outcome]:
    """Return what became of each test.

    Args:
        suite: Is installed first, when it is not.
        arguments: More arguments for pytest.

    Raises:
        InstallError: It could not be installed.
        SuiteError: pytest did not come to its end.
    """
    python = install(suite)
    folder = unpack(suite, python)
    results = BUILD / f"{suite.name}.json"
    results.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-q", "--tb=short", "-o", "addopts=", *NO_PLUGINS]
    command += ["-p", "drivers.record", "-p", "drivers.world", "-p", f"drivers.{suite.driver}"]
    command += [f"--timeout={TEST_TIMEOUT:g}", *suite.arguments, *suite.tests, *arguments]
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as scratch,
        _running_edges(suite, Path(scratch)) as edges,
        (BUILD / f"{suite.name}.log").open("wb") as log,
    ):
        environment = {
            **os.environ,
            "CONFORMANCE_EDGES": json.dumps(edges),
            "CONFORMANCE_RESULTS": str(results),
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": scratch,
        }
        try:
            subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=SUITE_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SuiteError(f"{suite.name}: not at its end in {SUITE_TIMEOUT:g} s") from error
    if not results.exists():
        raise SuiteError(f"{suite.name}: pytest did not run; {log.name} says why")
    return {test: Outcome(**one) for test, one in json.loads(results.read_text()).items()}


@contextmanager
def _running_edges(suite: Suite, folder: Path) -> Iterator[dict[str, dict[str, object]]]:
    """An edge for each scheme, with a token for the names that the suite uses."""
    options = [part for host in suite.hostnames for part in ("--hostname", host)]
    with ExitStack() as stack:
        found: dict[str, dict[str, object]] = {}
        for scheme in suite.schemes:
            (folder / scheme).mkdir()
            # `localhost` is the name that the certificate has to be for.
            running = running_edge(
                folder / scheme, tls=TLS[scheme], domain="localhost", guards=GUARDS
            )
            edge = stack.enter_context(running)
            certificate = next(edge.folder.rglob("certificate.pem"), "")
            found[scheme] = {
                "port": edge.port,
                "token": edge.create_token(suite.name, *options).token,
                "certificate": str(certificate),
            }
        yield found
