"""Run public test suites through a real edge (`make conformance`).

Exit codes: 0 everything is as ``expected/`` says, 1 it is not, 2 a suite could not be run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from .environment import BUILD, HERE, ROOT, InstallError
from .outcomes import Outcome, Verdict, compare, read_reasons
from .running import SuiteError, run_suite
from .suites import SUITES, Suite


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
    sys.stdout.flush()


def is_as_expected(suite: Suite, arguments: list[str]) -> bool:
    """Run a suite and print what came; with arguments for pytest, nothing is expected."""
    start = time.monotonic()
    outcomes = run_suite(suite, arguments)
    reasons = {} if arguments else read_reasons(HERE / "expected" / f"{suite.name}.toml")
    verdict = compare(outcomes, reasons)
    report(suite, outcomes, verdict, time.monotonic() - start)
    return verdict.is_good and bool(outcomes)


def main() -> int:
    """Run the suites that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.conformance")
    parser.add_argument("--only", action="append", choices=[one.name for one in SUITES])
    parser.add_argument("--quick", action="store_true", help="the suites that are soon done")
    parser.add_argument("pytest", nargs="*", help="more arguments for pytest; nothing is compared")
    options = parser.parse_args()
    chosen = [
        suite
        for suite in SUITES
        if (not options.only or suite.name in options.only)
        and (not options.quick or suite.is_quick)
    ]
    try:
        results = [is_as_expected(suite, options.pytest) for suite in chosen]
    except (InstallError, SuiteError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    print(f"what pytest printed: {BUILD.relative_to(ROOT)}/NAME.log")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
