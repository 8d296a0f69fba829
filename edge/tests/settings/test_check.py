from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.check import convert, settings_of


class Inner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table in a table."""

    needed: Annotated[int, Meta(description="a number", examples=[7])]
    names: list[str] = []


class Middle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table that holds another."""

    inner: Inner


class Outer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file."""

    middle: Middle
    given: Annotated[object, Meta(extra={"in_file": False})]


def sentence(table: dict[str, object]) -> str:
    """What is said about a table."""
    with pytest.raises(EdgeConfigError) as caught:
        convert(table, Outer, given={"given": 1}, file="f")
    return str(caught.value)


def test_deep_paths() -> None:
    """A path is told whole, however deep the table; an element of a list counts as the list."""
    assert sentence({"middle": {"inner": {}}}) == (
        "f: middle.inner.needed: is missing; add needed = 7"
    )
    assert sentence({"middle": {"inner": {"needed": "x"}}}) == (
        'f: middle.inner.needed: expected a number, got str "x"; write for example needed = 7'
    )
    assert sentence({"middle": {"inner": {"needed": 1, "other": 2}}}) == (
        "f: middle.inner.other: there is no such setting; remove it, or use one of needed, names"
    )
    assert sentence({"middle": {"inner": {"needed": 1, "names": [1]}}}) == (
        "f: middle.inner.names: expected another value, got a list; write for example names = ..."
    )
    assert sentence({"middle": {"inner": 1}}) == (
        "f: middle.inner: expected a table, got int 1; "
        "write [middle.inner] on a line of its own and its settings below"
    )
    assert sentence({}) == "f: middle: is missing; add middle = ..."


def test_given_fields_are_not_in_files() -> None:
    """What the program sets cannot be set from a file, and is not offered there."""
    assert sentence({"given": 2}) == (
        "f: given: there is no such setting; remove it, or use one of middle"
    )
    assert not settings_of(Outer)["given"].in_file
    table = {"middle": {"inner": {"needed": 1}}}
    assert convert(table, Outer, given={"given": 1}, file="f").given == 1


def test_an_unknown_sentence_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where msgspec says something that is not understood, that itself is shown; no traceback."""

    def convert_otherwise(*values: object, **named: object) -> object:
        raise msgspec.ValidationError("no good, on line 7")

    monkeypatch.setattr(msgspec, "convert", convert_otherwise)
    assert sentence({}) == (
        "f: the settings: cannot be used: no good, on line 7; change what it names"
    )
