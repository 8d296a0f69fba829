"""``settings.check`` reads msgspec's sentences: here they are, one by one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

CHANGED = (
    "msgspec says this in other words now: adapt _AT, _UNKNOWN and _MISSING in settings/check.py, "
    "then the upper bound of msgspec in edge/pyproject.toml (docs/adr/0009-settings-by-msgspec.md)"
)


class Inner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table."""

    needed: Annotated[int, Meta(ge=1)]
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()


class Outer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file."""

    inner: Inner


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({}, "Object missing required field `inner`"),
        ({"inner": {}}, "Object missing required field `needed` - at `$.inner`"),
        ({"inner": {"needed": 1}, "a\nb": 1}, "Object contains unknown field `a\nb`"),
        ({"inner": {"needed": 1, "x": 1}}, "Object contains unknown field `x` - at `$.inner`"),
        ({"inner": {"needed": "x"}}, "Expected `int`, got `str` - at `$.inner.needed`"),
        ({"inner": {"needed": 0}}, "Expected `int` >= 1 - at `$.inner.needed`"),
        ({"inner": {"needed": 1, "mode": "c"}}, "Invalid enum value 'c' - at `$.inner.mode`"),
        (
            {"inner": {"needed": 1, "names": ["a", 1]}},
            "Expected `str`, got `int` - at `$.inner.names[1]`",
        ),
        ({"inner": 1}, "Expected `object`, got `int` - at `$.inner`"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sentences(table: dict[str, object], sentence: str) -> None:
    """The path stands at the end, in the form that is looked for, and so do two kinds of error."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(table, Outer)
    assert str(caught.value) == sentence, CHANGED
