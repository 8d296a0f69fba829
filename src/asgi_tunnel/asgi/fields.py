"""Checks and normalises the header fields that an app sends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from ..protocol.head import Fields

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
"""What the edge would refuse with a 502: better an error where the mistake is."""

_MAX_NAMES: Final = 1024
"""Names remembered.  Apps use a few dozen; the bound is for those that make them up."""

_names: dict[bytes, bytes] = {}


def normalise_fields(headers: Iterable[Any]) -> Fields:
    """Return an app's header fields: names lower-case, order and duplicates kept.

    Outer spaces and tabs are no part of a value (RFC 9110, 5.5), and are left out.

    Args:
        headers: Pairs of bytes, as a list, tuple or generator.

    Raises:
        TypeError: A name or value is not bytes.
        ValueError: A name is no token, or a value holds control characters, which could be read as
            a field or a response of its own.
    """
    fields: Fields = []
    for name, value in headers:
        if type(name) is not bytes or type(value) is not bytes:
            name, value = _as_bytes(name), _as_bytes(value)  # noqa: PLW2901 - the same, as bytes
        lower = _names.get(name)
        if lower is None:
            lower = _learn(name)
        if _BAD_VALUE(value):
            raise ValueError(f"the value of response header {lower!r} holds a control character")
        fields.append((lower, value.strip(b" \t")))  # mostly the same object
    return fields


def read_length(values: list[bytes]) -> int:
    """Return the length that an app announces; more than one have to be the same.

    Args:
        values: Of all its ``content-length`` fields, at least one.

    Raises:
        ValueError: They are no single number.
    """
    if not values[0].isdigit() or len(set(values)) > 1:
        raise ValueError("the response has a content-length that is no single number")
    return int(values[0])


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"a response header is a pair of bytes, not of {type(value).__name__}")


def _learn(name: bytes) -> bytes:
    if not _TOKEN(name):
        raise ValueError(f"the response header name {name[:64]!r} is no HTTP token")
    lower = name.lower()
    if len(_names) < _MAX_NAMES:
        _names[name] = lower
    return lower
