"""Print what CHANGELOG.md says of a version: the notes of its release.

With ``--tag`` it also checks that the tag, the versions of both distributions and the changelog
agree, and that the version has its date. Exit codes: 0 the notes are printed, 1 something differs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.check_versions import VERSION_FILES, read_version

ROOT: Final = Path(__file__).resolve().parent.parent


def notes_of(changelog: str, version: str) -> tuple[str, str]:
    """Return the date of a version and its section without the heading; "" where there is none.

    Args:
        changelog: In the form of Keep a Changelog: ``## [1.2.3] - 2026-01-31``.
        version: As the distributions have it.
    """
    section = rf"^## \[{re.escape(version)}\] - (\S+)$\n(.*?)(?=^## \[|^\[[^]]+\]: |\Z)"
    found = re.search(section, changelog, re.MULTILINE | re.DOTALL)
    return (found[1], found[2].strip()) if found else ("", "")


def differences(tag: str, version: str, date: str, notes: str) -> list[str]:
    """Say what keeps a version from being released; empty where nothing does."""
    wrong = []
    if tag != f"v{version}":
        wrong.append(f"the tag is {tag}, and the version {version}: the tag would be v{version}")
    if not notes:
        wrong.append(f"CHANGELOG.md has no section [{version}]")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        wrong.append(
            f"CHANGELOG.md gives {version} the date {date!r}; write the day, as 2026-01-31"
        )
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the notes of this checkout's version."""
    parser = argparse.ArgumentParser(prog="release_notes.py", description=(__doc__ or "")[:72])
    parser.add_argument("--tag", help="of the release, as v1.2.3: everything has to agree with it")
    given = parser.parse_args(arguments)
    version = read_version(VERSION_FILES[0])
    date, notes = notes_of((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    wrong = []
    if given.tag is not None:
        wrong = differences(given.tag, version, date, notes)
        if read_version(VERSION_FILES[1]) != version:
            wrong.append("the two distributions have different versions; see `make lint`")
    for sentence in wrong:
        print(f"release_notes: {sentence}", file=sys.stderr)
    if not wrong:
        print(notes)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
