"""`make realapps`: run the programs, print the table, and hold the page in step with it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.realapps.page import PAGE, render, with_section
from tests.realapps.running import ROOT
from tests.realapps.suite import Result, Suite, known_programs


def main() -> int:
    """Return 0 when every program that ran agrees."""
    parser = argparse.ArgumentParser(prog="python -m tests.realapps", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form")
    parser.add_argument("--only", action="append", default=[], help="part of a program's name")
    parser.add_argument("--write", action="store_true", help=f"write the section of {PAGE}")
    parser.add_argument("--show", action="store_true", help="print what visitors saw")
    parser.add_argument("--shots", action="store_true", help="keep a picture of each page")
    options = parser.parse_args()
    if options.write and (options.quick or options.only):
        parser.error("--write needs all programs; leave out --quick and --only")
    chosen = [
        program
        for program in known_programs()
        if (program.quick or not options.quick)
        and (not options.only or any(part.lower() in program.name.lower() for part in options.only))
    ]
    shots = ROOT / "build" / "realapps-shots" if options.shots else None
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="realapps-") as folder:
        results = list[Result]()
        for result in Suite(Path(folder), shots=shots).run(chosen):
            results.append(result)
            _say(result, show=options.show)
    table = render(results)
    file = ROOT / "build" / "realapps.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text(table)
    print(f"\n{len(results)} programs; the table is in {file.relative_to(ROOT)}")
    if options.write:
        page = ROOT / PAGE
        page.write_text(with_section(page.read_text() if page.exists() else "", table))
    return _exit_code(results)


_WORDS: Final = {"yes": "agrees", "no": "DIFFERS", "skipped": "skipped"}


def _say(result: Result, *, show: bool) -> None:
    name = f"{result.program.name} {result.version}"
    print(f"{_WORDS[result.verdict]:8} {name:44} {result.seconds:5.1f} s", flush=True)
    for step in result.steps if show else ():
        print(f"   {step.label}: {str(step.facts)[:600]}")
    for detail in result.details:
        print("   " + detail.replace("\n", "\n   "), flush=True)


def _exit_code(results: list[Result]) -> int:
    return 1 if any(result.verdict == "no" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
