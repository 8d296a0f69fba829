"""Run public test suites through a real edge (`make conformance`).

Suites come from source distributions and are installed, with what they need, into
``build/conformance`` the first time; nothing of them is kept here. Exit codes: 0 everything is as
``expected/`` says, 1 it is not, 2 a suite could not be run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.e2e.harness import running_edge

from .outcomes import Outcome, Verdict, compare, read_reasons
from .suites import SUITES, Suite

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
BUILD: Final = ROOT / "build" / "conformance"
PYTHON: Final = BUILD / "venv" / "bin" / "python"
REQUIREMENTS: Final = HERE / "requirements.txt"

WITHOUT_DEPENDENCIES: Final = ("httpbin==0.10.4", "pytest-httpbin==2.1.0")
"""They ask for an old greenlet, which they do not import; what they do is in the file above."""

SUITE_TIMEOUT: Final = 900.0
"""Seconds for one suite; the longest takes less than a third of it."""

TEST_TIMEOUT: Final = 60.0
"""Seconds for one test."""

NO_PLUGINS: Final = ("-p", "no:logfire", "-p", "no:codspeed")
"""Plugins that come with what the suites need, and get in the way."""

GUARDS: Final = "scanner = false"  # the tests ask for paths that scanners ask for, too


def _run(*command: str) -> None:
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        print(f"conformance: {' '.join(command)} failed; its message is above", file=sys.stderr)
        sys.exit(2)


def install() -> None:
    """Make the environment of the suites, unless it is as ``requirements.txt`` says."""
    stamp = BUILD / "installed.txt"
    wanted = REQUIREMENTS.read_text() + "\n".join(WITHOUT_DEPENDENCIES)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        _run(sys.executable, "-m", "venv", str(BUILD / "venv"))
    pip = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "-c", "constraints.txt", "-e", ".", "-e", "edge", "-r", str(REQUIREMENTS))
    _run(*pip, "--no-deps", *WITHOUT_DEPENDENCIES)
    stamp.write_text(wanted)


def unpack(suite: Suite) -> Path:
    """Return the folder of a suite's source distribution."""
    name, _, version = suite.source.partition("==")
    folder = BUILD / "sources" / f"{name.replace('-', '_')}-{version}"
    if not folder.exists():
        archives = BUILD / "archives"
        pip = (str(PYTHON), "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
        _run(*pip, "--no-deps", "--no-binary", ":all:", "-d", str(archives), suite.source)
        with tarfile.open(archives / f"{folder.name}.tar.gz") as archive:
            archive.extractall(folder.parent, filter="data")
    return folder


def run_suite(suite: Suite, arguments: list[str]) -> dict[str, Outcome]:
    """Start both edges, run pytest in the suite's folder, return what became of each test."""
    folder = unpack(suite)
    results = BUILD / f"{suite.name}.json"
    results.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        edges = {}
        for scheme, tls in (("http", "off"), ("https", "internal")):
            (Path(name) / scheme).mkdir()
            edge = stack.enter_context(running_edge(Path(name) / scheme, tls=tls, guards=GUARDS))
            options = [part for host in suite.hostnames for part in ("--hostname", host)]
            token = edge.create_token(suite.name, *options)
            edges[scheme] = {"port": edge.port, "token": token.token}
        environment = {
            **os.environ,
            "CONFORMANCE_EDGES": json.dumps(edges),
            "CONFORMANCE_RESULTS": str(results),
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [str(PYTHON), "-m", "pytest", "-q", "--tb=short", "-o", "addopts=", *NO_PLUGINS]
        command += ["-p", "drivers.record", "-p", "drivers.world", "-p", f"drivers.{suite.driver}"]
        command += [f"--timeout={TEST_TIMEOUT:g}", *suite.arguments, *suite.tests, *arguments]
        with (BUILD / f"{suite.name}.log").open("wb") as log:
            subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=SUITE_TIMEOUT,
                check=False,
            )
    if not results.exists():
        print(f"{suite.name}: pytest did not run; see {BUILD / suite.name}.log", file=sys.stderr)
        sys.exit(2)
    return {test: Outcome(**one) for test, one in json.loads(results.read_text()).items()}


def report(suite: Suite, outcomes: dict[str, Outcome], verdict: Verdict, seconds: float) -> None:
    """Print one suite's counts, and what is not as the table says."""
    counts = Counter(one.outcome for one in outcomes.values())
    relayed = [one for one in outcomes.values() if one.relayed]
    passed = sum(one.outcome == "passed" for one in relayed)
    print(
        f"{suite.source}: {counts['passed']} passed, {counts['failed']} failed,"
        f" {counts['skipped']} skipped in {seconds:.0f} s;"
        f" through the tunnel: {passed} of {len(relayed)} passed"
    )
    for why, number in sorted(verdict.explained.items(), key=lambda one: -one[1]):
        print(f"  {number:4} explained: {why}")
    for test, why in verdict.unexplained.items():
        print(f"  UNEXPLAINED {test}: {why.splitlines()[0] if why else ''}")
    for test in verdict.passing:
        print(f"  PASSES, take it out of expected/{suite.name}.toml: {test}")
    for test in verdict.missing:
        print(f"  DID NOT RUN, take it out of expected/{suite.name}.toml: {test}")


def main() -> int:
    """Run the suites that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.conformance")
    parser.add_argument("--only", action="append", choices=[one.name for one in SUITES])
    parser.add_argument("pytest", nargs="*", help="more arguments for pytest; nothing is compared")
    options = parser.parse_args()
    install()
    good = True
    for suite in SUITES:
        if options.only and suite.name not in options.only:
            continue
        start = time.monotonic()
        outcomes = run_suite(suite, options.pytest)
        reasons = {} if options.pytest else read_reasons(HERE / "expected" / f"{suite.name}.toml")
        verdict = compare(outcomes, reasons)
        report(suite, outcomes, verdict, time.monotonic() - start)
        good = good and verdict.is_good and bool(outcomes)
    print(f"what pytest printed: {BUILD.relative_to(ROOT)}/NAME.log")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
