"""Each reason has a page, and stands in the reference; no reply has another one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from asgi_tunnel_edge import replies
from asgi_tunnel_edge.pages.words import WORDS

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "edge/src/asgi_tunnel_edge"
AMBIGUOUS = {301, 308, 403, 404, 502, 503}
"""Statuses that stand for several reasons, or for none that a status could tell."""


def made() -> list[tuple[str, int | None, str | None]]:
    """Where the sources make a reply, with its status and its reason as far as they are written."""
    found = []
    for path in SOURCES.rglob("*.py"):
        if "acme" in path.parts:  # has a Reply of its own
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_reply = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reply"
            if not is_reply:
                continue
            assert isinstance(node, ast.Call)
            status = getattr(node.args[0], "value", None)
            reason = next((one.value for one in node.keywords if one.arg == "reason"), None)
            where = f"{path.name}:{node.lineno}"
            found.append((where, status, None if reason is None else ast.unparse(reason)))
    return found


def test_the_reference_lists_them() -> None:
    """With the status of each, and no other."""
    page = (ROOT / "docs/reference/errors.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| ([0-9, ]+) \|", page, re.MULTILINE)
    assert {reason for reason, _ in rows} == set(WORDS)
    for reason, statuses in rows:
        assert str(WORDS[reason].status) in statuses.split(", "), reason


def test_each_reply_has_one() -> None:
    """Where the status alone does not say it, the reply does."""
    places = made()
    assert len(places) > 25
    for where, status, reason in places:
        if reason is None:
            assert status not in AMBIGUOUS, where
        elif reason.startswith("'"):
            assert reason.strip("'") in WORDS, where


def test_statuses_have_one() -> None:
    """Also those of requests that cannot be read."""
    assert set(replies._BY_STATUS.values()) <= set(WORDS)
    for status, reason in replies._BY_STATUS.items():
        assert WORDS[reason].status == status
    text = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    for status in {int(one) for one in re.findall(r"RequestError\(\s*([0-9]{3})", text)}:
        assert status in replies._BY_STATUS


@pytest.mark.parametrize("reason", WORDS)
def test_words_are_whole_sentences(reason: str) -> None:
    """Short ones, that end; and a page that waits says what became of what was sent."""
    words = WORDS[reason]
    assert len(words.title) <= 50
    assert not words.title.endswith(".")
    for text in (words.text, words.hint):
        assert text.endswith(".")
        assert len(text) <= 200
    if words.reloads:
        assert words.hint_when_sent
        assert words.status == 503
