from __future__ import annotations

import ast
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tunnel.inspector.literals import (
    MAX_DEPTH,
    columns,
    has_literal,
    literal,
    text_block,
    text_literal,
)

RUFF = Path(sys.executable).parent / "ruff"
TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.text("'\"\\\n\t\0 a{", max_size=20)
LONG = st.text(st.characters(codec="utf-8") | st.sampled_from('"""\'\\\n'), max_size=400)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXT, inner, max_size=6),
    max_leaves=40,
)


def is_formatted(source: str, *, width: int) -> bool:
    """Whether Ruff would leave it as it is."""
    done = subprocess.run(
        [RUFF, "format", "--isolated", "--line-length", str(width), "-"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout == source


@given(VALUES)
def test_a_literal_means_the_value(value: Any) -> None:
    """Python reads what was written, as equal and of the same types."""
    found = ast.literal_eval(literal(value))
    assert repr(found) == repr(value)


@given(LONG)
def test_texts_mean_themselves(text: str) -> None:
    """On one line and as a block."""
    assert ast.literal_eval(text_literal(text)) == text
    assert ast.literal_eval(text_block(text)) == text


@pytest.mark.parametrize("width", [88, 100, 120])
@pytest.mark.parametrize(
    "value",
    [
        None,
        -1.5e-300,
        1e22,
        'it\'s "both" \\ \n \u00fc \u202e \x00',
        "'",
        '"',
        "'\"",
        "\\\"'",
        [],
        {},
        [1, 2, 3],
        list(range(40)),
        ["x" * 60, "y" * 10],
        {"a": {"b": {"c": ["x" * 70]}}},
        {"key " * 30: "value " * 30},
        [[], {}, [[]], [{}], {"a": []}],
        {"a": "x" * 66},
        ["\u4f60\u597d" * 30, "\u1100" * 20, "e\u0301" * 20],
        ["\U0001f600" * 20, "\U0001f600" * 12],
        [{"id": 1, "name": "tea", "tags": ["hot", "green"]}, {"id": 2, "name": None, "tags": []}],
    ],
    ids=str,
)
def test_formatters_leave_it(value: Any, width: int) -> None:
    """Whatever the line length, from the usual one on."""
    assert is_formatted(f"VALUE = {literal(value, used=8)}\n", width=width)


@pytest.mark.parametrize("width", [88, 100])
@pytest.mark.parametrize(
    "text",
    [
        "a",
        "",
        "\n",
        "a\nb\n",
        "x" * 300,
        '"""',
        '""""a"',
        "a\\",
        "tab\t\r\n trailing  \nb",
        "'" * 90,
    ],
)
def test_formatters_leave_blocks(text: str, width: int) -> None:
    """Long texts keep their form."""
    assert is_formatted(f"BODY = {text_block(text)}\n", width=width)


@settings(max_examples=15, deadline=None)
@given(st.lists(VALUES, min_size=20, max_size=20), st.lists(LONG, min_size=5, max_size=5))
def test_formatters_leave_all(values: list[Any], texts: list[str]) -> None:
    """Many at a time, for a process costs more than a value."""
    lines = [
        f"VALUE = {text}\n"
        for text in (literal(one, used=8) for one in values)
        # Alone on a line of its own it would just fit: where, differs from one width to another.
        if "\n" in text or not 80 < columns(text) <= 84
    ]
    lines += [f"BODY = {text_block(one)}\n" for one in texts]
    assert is_formatted("".join(lines), width=88)


def test_what_has_none() -> None:
    """Numbers without an end, and what no parser of Python takes."""
    assert has_literal([{"a": 1.5}, None, "x"])
    assert not has_literal({"a": [math.inf]})
    assert not has_literal(math.nan)
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    assert not has_literal(deep)
    assert has_literal(deep[0])
