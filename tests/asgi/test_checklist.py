from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "tests", ROOT / "edge" / "tests")
LAST = 75

WANTED = frozenset(f"A{number:02}" for number in range(1, LAST + 1))


def docstrings() -> Iterator[str]:
    """The docstring of every test."""
    for folder in FOLDERS:
        for path in folder.rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                    node.name.startswith("test_")
                ):
                    yield ast.get_docstring(node) or ""


def named() -> set[str]:
    """The numbers that docstrings begin with."""
    found: set[str] = set()
    for text in docstrings():
        if match := re.match(r"(A\d\d(?:, A\d\d)*): ", text):
            found.update(match[1].split(", "))
    return found


def test_every_line_of_the_checklist_has_a_test() -> None:
    """Each line of what a first-class ASGI server does is named by a test that shows it."""
    if not FOLDERS[1].is_dir():
        pytest.skip("the edge's tests are in the repository, not in this distribution")
    assert WANTED - named() == set()


def test_no_number_is_made_up() -> None:
    """Tests name lines that exist."""
    assert named() <= WANTED
