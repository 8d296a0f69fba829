"""Contrast as WCAG counts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel_edge.pages.colour import BLACK, ENOUGH, WHITE, contrast, readable

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [(WHITE, BLACK, 21.0), (WHITE, WHITE, 1.0), ("#767676", WHITE, 4.54), ("#ff0000", WHITE, 4.0)],
)
def test_contrast(one: str, other: str, ratio: float) -> None:
    """The figures that WCAG's own examples give."""
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)
    assert contrast(other, one) == contrast(one, other)


@given(colour=COLOURS, background=COLOURS)
def test_any_colour_becomes_readable(colour: str, background: str) -> None:
    """On any background; one that is readable stays as it is."""
    found = readable(colour, background)
    assert contrast(found, background) >= ENOUGH
    if contrast(colour, background) >= ENOUGH:
        assert found == colour
