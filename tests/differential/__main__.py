"""The long form: random seeds for as long as is asked, and what was found, as small as it gets."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from .page import PAGE, with_section
from .script import Case
from .show import Shown, read, show
from .strategies import cases
from .suite import DifferenceError, Tally, run_case
from .worlds import Worlds, edge, worlds

ROOT: Final = Path(__file__).parents[2]
FOUND: Final = ROOT / "build" / "differential"
ROUND: Final = 500
"""Examples of one seed."""

MOST: Final = 20
"""Unexplained differences after which a run ends: the rest would be the same ones."""


class _OutOfTime(BaseException):
    """Ends a round; not an Exception, so that Hypothesis does not take it for a failure."""


class Runner:
    """Runs rounds.

    Args:
        worlds: The servers.
        runner: Of the event loop that they are served by.
        deadline: By ``time.monotonic()``.
    """

    def __init__(self, worlds: Worlds, runner: asyncio.Runner, deadline: float) -> None:
        self.tally = Tally()
        self._worlds = worlds
        self._runner = runner
        self._deadline = deadline
        self._error: DifferenceError | None = None

    def case(self, case: Case) -> None:
        """Run one case.

        Raises:
            DifferenceError: There is an unexplained difference.
        """
        self._runner.run(run_case(case, self._worlds, self.tally))

    def round(self, number: int) -> DifferenceError | None:
        """Run the examples of one seed; return the smallest failure."""
        last: list[DifferenceError] = []

        @seed(number)
        @settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(shown=cases)
        def one(shown: Shown) -> None:
            if time.monotonic() > self._deadline and not last:
                raise _OutOfTime
            try:
                self.case(shown.case)
            except DifferenceError as error:
                last.append(error)
                raise

        try:
            one()
        except DifferenceError as error:
            return error
        except Exception:  # noqa: BLE001 - it was seen, and did not come again: shown as it was
            return last[-1] if last else None
        return None


def main() -> int:
    """Run, and print what was done."""
    parser = argparse.ArgumentParser(prog="tests.differential", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--seed", type=int, help="of the first round; random if not given")
    parser.add_argument("--replay", type=Path, help="run the case in this file, and nothing else")
    parser.add_argument("--write", action="store_true", help=f"write what was run to {PAGE}")
    options = parser.parse_args()
    first = random.randrange(10**9) if options.seed is None else options.seed
    with (
        tempfile.TemporaryDirectory() as folder,
        edge(Path(folder)) as (port, token),
        asyncio.Runner() as runner,
    ):
        served = worlds(port, token)
        everything = runner.run(served.__aenter__())
        try:
            started = time.monotonic()
            rounds = Runner(everything, runner, started + options.seconds)
            if options.replay is not None:
                rounds.case(read(options.replay.read_text()))
                print("no unexplained difference")
                return 0
            failures = _run(rounds, first, started + options.seconds)
            seconds = time.monotonic() - started
        finally:
            runner.run(served.__aexit__(None, None, None))
    _report(rounds.tally, first, seconds, failures)
    if options.write and not failures:
        page = ROOT / PAGE
        page.write_text(with_section(page.read_text(), sentence(first, seconds, rounds.tally)))
    return bool(failures)


def sentence(first: int, seconds: float, tally: Tally) -> str:
    """Say on the page what was run."""
    return (
        f"The last long run: seed {first}, {seconds / 60:.0f} minutes, {tally.cases} connections, "
        f"no unexplained difference."
    )


def _run(rounds: Runner, first: int, deadline: float) -> int:
    failures = 0
    number = first
    FOUND.mkdir(parents=True, exist_ok=True)
    try:
        while time.monotonic() < deadline and failures < MOST:
            failure = rounds.round(number)
            if failure is not None:
                failures += 1
                path = FOUND / f"{number}.txt"
                path.write_text(show(failure.case) + "\n")
                print(f"seed {number}: {path.relative_to(ROOT)}\n{failure}", flush=True)
            number += 1
    except (_OutOfTime, KeyboardInterrupt):
        pass
    return failures


def _report(tally: Tally, first: int, seconds: float, failures: int) -> None:
    print(f"\nseed {first}, {seconds:.0f} s, {tally.cases} connections")
    print("\nWhat they covered:")
    for name, count in sorted(tally.covered.items()):
        print(f"  {count:8} {name}")
    print("\nAllowed differences:")
    for name, count in sorted(tally.allowed.items()):
        print(f"  {count:8} {name}")
    print(f"\n{failures or 'no'} unexplained differences")


if __name__ == "__main__":
    sys.exit(main())
