"""Reads the line of a request head that says who the visitor is.

The edge wrote it once a door had let the visitor in (docs/protocol.md section 5.2).  What comes out
goes into the scope as plain values; :mod:`..identity` makes typed ones of them.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ..protocol.head import HeadError

__all__ = ["read_visitor"]

MAX_KEPT: Final = 1024
"""Lines that are read once and kept: a visitor sends the same one until the next login."""

MAX_KEPT_SIZE: Final = 2048
"""Bytes of a line that is kept: some 100 groups.  A longer one is read each time."""

_TEXTS: Final = ("subject", "name", "email", "method", "policy")

_kept: dict[bytes, dict[str, Any]] = {}


def read_visitor(line: bytes) -> dict[str, Any]:
    """Return what a line says, in a dict of the caller's own.

    Returns:
        ``subject``, ``name``, ``email``, ``groups`` (a list), ``method``, ``since`` (seconds since
        1970) and ``policy``.  What the line leaves out is empty; what is unknown is left out.

    Raises:
        HeadError: It does not say who it is, or a value has another type.
    """
    found = _kept.get(line)
    if found is None:
        found = _read(line)
        if len(line) <= MAX_KEPT_SIZE:
            if len(_kept) >= MAX_KEPT:
                _kept.clear()  # who is still there is soon read again
            _kept[line] = found
    visitor = found.copy()
    visitor["groups"] = found["groups"].copy()
    return visitor


def _read(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise HeadError("the line about the visitor is not a JSON object")
    found: dict[str, Any] = {key: values.get(key, "") for key in _TEXTS}
    found["groups"] = groups = values.get("groups", [])
    found["since"] = since = values.get("since", 0)
    if (
        any(type(found[key]) is not str for key in _TEXTS)
        or type(groups) is not list
        or any(type(one) is not str for one in groups)
        or type(since) is not int
    ):
        raise HeadError("the line about the visitor has a value of the wrong type")
    if not found["subject"]:
        raise HeadError("the line about the visitor does not say who it is")
    return found
