"""Who asks the inspector, as a door of it says."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from ..protocol.head import HeadError

__all__ = ["CALLER", "LOCAL", "Caller", "read_caller"]

CALLER: Final = "asgi_tunnel.caller"
"""The key of an inspector's scope that says who asks; of the app's own scopes none has it."""


class Caller(NamedTuple):
    """Who asks."""

    by: str  # for people
    may_write: bool  # change, empty, import, repeat
    is_remote: bool  # from the edge: nothing of end-to-end hostnames is for it


LOCAL: Final = Caller("this machine", may_write=True, is_remote=False)
"""Who asks over the socket: its file is the user's own."""


def read_caller(line: bytes) -> Caller:
    """Return who asks from the edge, as the line of a request head says.

    Raises:
        HeadError: It is no JSON object with a text ``by`` and a boolean ``may_write``.

    Source: docs/protocol.md section 5.3.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise HeadError("the line for the inspector is not a JSON object")
    by, may_write = values.get("by"), values.get("may_write")
    if type(by) is not str or type(may_write) is not bool:
        raise HeadError("the line for the inspector does not say who asks")
    return Caller(by, may_write, is_remote=True)
