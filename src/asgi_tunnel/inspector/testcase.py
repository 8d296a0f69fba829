"""Writes a recorded exchange as a test: red while the app does what it did, green once it does not.

The test serves the app by :class:`asgi_tunnel.testing.LocalEdge`, so the request takes the way that
it took, and what the app raises is in the test's output. It is formatted as Ruff does it.
"""

from __future__ import annotations

from typing import NamedTuple

from .edits import Edits
from .recorded import Detail
from .replay import prepare
from .saved_request import SavedRequest
from .saved_websocket import SavedWebSocket

__all__ = ["SavedTest", "make_test"]


class SavedTest(NamedTuple):
    """A test as text, and what belongs beside it.

    Attributes:
        source: Of the module.
        body: Of the file that the source names; None: it names none.
    """

    source: str
    body: bytes | None


def make_test(detail: Detail, app: str, *, body_file: str = "") -> SavedTest:
    """Return the test of an exchange.

    Args:
        detail: The exchange.
        app: ``module:attribute`` of the app, as ``GET /state`` says it; anything else becomes a
            line to fill in.
        body_file: Name of a file for a large body or one of bytes; empty: all is in the source.

    Raises:
        RefusedError: Not enough was kept of it; see :func:`.replay.prepare`.
    """
    request = prepare(detail, Edits(), now=0)
    if request.messages is not None:
        return SavedTest(SavedWebSocket(detail, app, request.messages).write(), None)
    saved = SavedRequest(detail, app, request.body, body_file)
    return SavedTest(saved.write(), request.body if saved.is_beside else None)
