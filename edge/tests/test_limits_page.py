"""``docs/limits.md`` says what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from asgi_tunnel.protocol import limits as protocol_limits
from asgi_tunnel_edge.settings.check import settings_of
from asgi_tunnel_edge.settings.config import Limits

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
_ROW = re.compile(r"^\| `([\w.]+)` \| ([-0-9.e+]+) \|(.*)\|$", re.MULTILINE)


def _rows(heading: str) -> dict[str, tuple[float, str]]:
    """Number and the rest of each row of one section's tables."""
    section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {name: (float(number), rest) for name, number, rest in _ROW.findall(section)}


def test_every_setting_is_on_the_page() -> None:
    """Names, defaults and what they bound are those of ``config.Limits``."""
    rows = _rows("What an operator may change")
    settings = settings_of(Limits)
    assert list(rows) == list(settings)
    for name, setting in settings.items():
        number, rest = rows[name]
        assert number == setting.default, name
        assert setting.title is not None
        assert setting.title in rest


def test_every_protocol_limit_is_on_the_page() -> None:
    """Numbers of the page and of ``asgi_tunnel.protocol.limits`` are the same, and complete."""
    rows = _rows("The wire protocol")
    bounds = protocol_limits.SETTING_BOUNDS
    constants = {
        name: value
        for name, value in vars(protocol_limits).items()
        if name.isupper() and isinstance(value, int | float)
    }
    assert {name: number for name, (number, _) in rows.items() if name not in bounds} == constants
    for name, (low, high) in bounds.items():
        assert rows[name][0] == low
        assert int(rows[name][1].strip()) == high


def test_other_constants_are_as_the_page_says() -> None:
    """Each constant exists and has the number of the page."""
    rows = _rows("The edge and the connector")
    assert len(rows) > 800
    assert {name: _value(name) for name in rows} == {
        name: pytest.approx(number) for name, (number, _) in rows.items()
    }


def _value(name: str) -> float:
    module, _, constant = name.rpartition(".")
    return float(getattr(importlib.import_module(module), constant))
