"""Makes an operator's colour readable on light and on dark pages (WCAG 2.2, 1.4.3).

One colour is asked for, and what is written with it, or on it, has to have enough contrast on both
backgrounds; so it is moved toward black or white until it has.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BLACK", "ENOUGH", "WHITE", "contrast", "readable"]

ENOUGH: Final = 4.5
"""The contrast of text, as a ratio of luminances, that WCAG 2.2 asks for (level AA)."""

WHITE: Final = "#ffffff"
BLACK: Final = "#000000"

_STEPS: Final = 20
"""How finely a colour is moved: one step is not seen."""


def readable(colour: str, background: str) -> str:
    """Return a colour, or one near to it that can be read on a background.

    Args:
        colour: ``#rrggbb``.
        background: The same.
    """
    to = WHITE if contrast(WHITE, background) > contrast(BLACK, background) else BLACK
    for step in range(_STEPS + 1):
        found = _mix(colour, to, step / _STEPS)
        if contrast(found, background) >= ENOUGH:
            return found
    return to


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """The relative luminance of sRGB, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (number / 255 for number in _numbers(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mix(one: str, other: str, part: float) -> str:
    pairs = zip(_numbers(one), _numbers(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)


def _numbers(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
