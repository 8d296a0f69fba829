"""``docs/reference/api.md`` says what the API does, and why a command has no operation."""

from __future__ import annotations

import re
from pathlib import Path

from edge.tests.commands.test_schemas import commands

from asgi_tunnel_edge.api.openapi import document
from asgi_tunnel_edge.api.table import OPERATIONS

PAGE = (Path(__file__).parents[3] / "docs/reference/api.md").read_text("utf-8")


def section(title: str) -> str:
    """One section of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_each_operation_is_on_the_page() -> None:
    """With what it does, who may ask, and the commands that do the same."""
    rows = [line for line in section("Operations").splitlines() if line.startswith("| `")]
    wanted = []
    for one in OPERATIONS:
        who = "operators" if one.role == "operator" else "owners, too"
        same = ", ".join(f"`{it}`" for it in one.commands)
        wanted.append(f"| `{one.method} {one.path}` | {one.summary} | {who} | {same} |")
    assert rows == wanted


def test_each_command_has_an_operation_or_a_reason() -> None:
    """And none has both."""
    without = section("Commands without an operation")
    reasons = dict(re.findall(r"^\| `([\w -]+)` \| (.+) \|$", without, re.MULTILINE))
    done = {command for one in OPERATIONS for command in one.commands}
    assert all(reasons.values())
    assert done.isdisjoint(reasons)
    assert done | set(reasons) == set(commands())


def test_ids_and_paths_are_each_there_once() -> None:
    """What two operations share would be served by one of them."""
    assert len({one.id for one in OPERATIONS}) == len(OPERATIONS)
    assert len({(one.method, one.path) for one in OPERATIONS}) == len(OPERATIONS)
    assert set(document("/api/v1")["paths"]) == {one.path for one in OPERATIONS}
