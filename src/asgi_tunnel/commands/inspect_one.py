"""``asgi-tunnel inspect``: what is done with one exchange, or with two.

Each function gets the options and the inspectors, and returns the exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..inspector.curl import curl_command
from ..inspector.diff import diff
from ..inspector.reply import RefusedError
from ..inspector.testcase import make_test
from .inspect_client import Inspector, find_exchange
from .inspect_edits import read_edits
from .inspect_text import detail_lines, diff_lines, summary_line
from .options import plain, print_json

if TYPE_CHECKING:
    import argparse

__all__ = ["compare", "curl", "replay", "save", "show"]


def show(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Print all of an exchange."""
    _, detail = find_exchange(inspectors, options.id)
    if options.json:
        print_json(detail)
    else:
        print("\n".join(detail_lines(detail)))
    return 0


def replay(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Replay an exchange, and print the new one."""
    inspector, detail = find_exchange(inspectors, options.id)
    edits = read_edits(options, detail)
    made = inspector.ask("POST", f"/exchanges/{detail['id']}/replay", edits)
    new = inspector.ask("GET", f"/exchanges/{made['id']}")
    if options.json:
        print_json({"missing": made["missing"], "exchange": new})
        return 0
    with_id = len(inspectors) > 1
    print(summary_line(new, with_id=with_id))
    if made["missing"]:
        print(f"not recorded, so not as it was: {plain(', '.join(made['missing']))}")
    name = "id" if with_id else "seq"
    print(f"compare: asgi-tunnel inspect diff {detail[name]} {new[name]}")
    return 0


def save(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Write an exchange as a test."""
    inspector, detail = find_exchange(inspectors, options.id)
    file = Path(options.file)
    beside = file.with_suffix(".body")
    app = options.app or inspector.ask("GET", "/state")["app"]
    made = make_test(detail, app, body_file=beside.name)
    if file.exists() and not options.force:
        raise RefusedError(409, f"{file} is there already; give another name, or --force")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made.source, encoding="utf-8")
    if made.body is not None:
        beside.write_bytes(made.body)
        print(f"{beside}: the request's body")
    print(f"{file}: run it with `python -m pytest {file}`")
    return 0


def curl(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Print the curl command."""
    print(curl_command(find_exchange(inspectors, options.id)[1]), end="")
    return 0


def compare(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Compare two; the exit code is 0 where they are the same, as that of ``diff``."""
    pair = [find_exchange(inspectors, one)[1] for one in (options.a, options.b)]
    found = diff(*pair)
    if options.json:
        print_json(found)
    else:
        print("\n".join(diff_lines(found)))
    return 0 if found["is_same"] else 1
