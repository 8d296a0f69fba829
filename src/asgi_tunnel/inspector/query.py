"""Reads what a request of the inspector's interface asks for; each value is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from .reply import RefusedError

__all__ = ["Filter", "read_number", "read_query"]

MAX_QUERY: Final = 4096
"""Bytes of a query."""

MAX_PARAMETERS: Final = 32
"""Parameters of a query; the interface has ten."""

MAX_TEXT: Final = 200
"""Characters of a text that is looked for."""

MAX_LIST: Final = 500
"""Exchanges in one reply."""

DEFAULT_LIST: Final = 100
"""Exchanges in one reply, unless it is said."""

MAX_NUMBER: Final = 2**53
"""The largest number that every JSON reader takes as it is."""

_STATUS: Final = re.compile(r"[1-5](?:xx|[0-9]{2})").fullmatch
_LISTED: Final = frozenset(
    {"before", "after", "limit", "q", "method", "status", "host", "kind", "id", "state"}
)


def read_query(text: bytes, known: frozenset[str]) -> dict[str, str]:
    """Return the parameters of a query.

    Raises:
        RefusedError: It is too long, has a parameter that is not known, or one twice.
    """
    if len(text) > MAX_QUERY:
        raise RefusedError(414, f"the query has more than {MAX_QUERY} bytes")
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:  # UnicodeDecodeError is one
        raise RefusedError(400, "the query cannot be read") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError(400, "the query has a parameter twice")
    unknown = found.keys() - known
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise RefusedError(400, f"the query has a parameter that is not known; there are: {names}")
    return found


def read_number(values: Mapping[str, str], name: str, default: int, most: int = MAX_NUMBER) -> int:
    """Return a number of a query, 0 or more.

    Raises:
        RefusedError: It is none, or too large.
    """
    text = values.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 16 or int(text) > most:
        raise RefusedError(400, f"{name} is no number from 0 to {most}")
    return int(text)


class Filter(NamedTuple):
    """Which exchanges are listed."""

    before: int  # their number is smaller; MAX_NUMBER: all
    after: int  # their number is larger
    limit: int  # so many at the most
    fits: Callable[[dict[str, Any]], bool]  # of a summary

    @classmethod
    def read(cls, query: bytes) -> Filter:
        """Return what a query asks for.

        Raises:
            RefusedError: A value cannot be used.
        """
        values = read_query(query, _LISTED)
        limit = read_number(values, "limit", DEFAULT_LIST, MAX_LIST)
        before = read_number(values, "before", MAX_NUMBER)
        return cls(before, read_number(values, "after", 0), limit, _fits(values))


def _fits(values: Mapping[str, str]) -> Callable[[dict[str, Any]], bool]:
    for name, value in values.items():
        if len(value) > MAX_TEXT:
            raise RefusedError(400, f"{name} has more than {MAX_TEXT} characters")
    status = values.get("status", "").lower()
    if status and not _STATUS(status):
        raise RefusedError(400, "status is neither like 404 nor like 5xx")
    kind = values.get("kind", "")
    if kind not in ("", "http", "websocket"):
        raise RefusedError(400, "kind is neither http nor websocket")
    state = values.get("state", "")
    if state not in ("", "open", "done", "cut"):
        raise RefusedError(400, "state is none of open, done and cut")
    exact = {"kind": kind, "state": state, "request_id": values.get("id", "")}
    exact["method"] = values.get("method", "").upper()
    exact["host"] = values.get("host", "").lower()
    wanted = {name: value for name, value in exact.items() if value}
    text = values.get("q", "").lower()

    def fits(one: dict[str, Any]) -> bool:
        if any(one[name] != value for name, value in wanted.items()):
            return False
        if status and not _has_status(one["status"], status):
            return False
        return not text or any(
            text in str(one[name] or "").lower() for name in ("path", "host", "error", "visitor")
        )

    return fits


def _has_status(found: int | None, wanted: str) -> bool:
    if found is None:
        return False
    return str(found)[0] == wanted[0] if wanted.endswith("xx") else str(found) == wanted
