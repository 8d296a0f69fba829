"""The types that settings share: what values they take, and how an error names that.

Defaults and meanings are left to the Structs that use them, in ``config`` and ``guards``.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

__all__ = [
    "Bytes",
    "BytesOrZero",
    "Count",
    "FilePath",
    "MemoryBytes",
    "Rate",
    "Seconds",
    "SecondsOrZero",
    "Share",
    "Switch",
    "Text",
]

# The description of each stands in the error for a wrong value: "expected <description>".
#: A year is the upper bound: event loops take no infinite times.
Seconds = Annotated[float, Meta(gt=0, le=31_536_000, description="a number of seconds, over 0")]
SecondsOrZero = Annotated[float, Meta(ge=0, le=31_536_000, description="a number of seconds")]
Bytes = Annotated[int, Meta(ge=1, le=2**40, description="a whole number of bytes, 1 or more")]
#: Below 1 MiB a few idle tunnels would be too much.
MemoryBytes = Annotated[
    int, Meta(ge=2**20, le=2**50, description="a whole number of bytes, 1048576 or more")
]
BytesOrZero = Annotated[
    int, Meta(ge=0, le=2**50, description="a whole number of bytes, or 0 for no limit")
]
Count = Annotated[int, Meta(ge=1, le=2**31, description="a whole number, 1 or more")]
Rate = Annotated[float, Meta(ge=0, le=1e6, description="a number a second, or 0 for no limit")]
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
Switch = Annotated[bool, Meta(description="true or false")]
Text = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
FilePath = Annotated[str, Meta(min_length=1, description="a path, absolute or below DIR")]
