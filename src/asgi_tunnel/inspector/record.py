"""One exchange as the inspector keeps it.

The drivers of :mod:`..asgi` write into it where they know what happens: that costs a fraction of
what wrapping ``receive()`` and ``send()`` costs. What is kept of its content is :mod:`.content`'s.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from ..protocol.frames import Buffer
from ..protocol.head import Fields, RequestHead
from .content import Content
from .redaction import as_text
from .ring import Kept, Ring

__all__ = ["Record"]

_log = logging.getLogger("asgi_tunnel.inspector")

OPEN: Final = "open"
DONE: Final = "done"
CUT: Final = "cut"

BASE_COST: Final = 800
"""Bytes that a record costs without what its level adds; measured with 100,000 of them."""

_METHODS: Final = {one: one for one in (b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE")}

MAX_TARGET: Final = 4096
"""Characters of a target that are kept."""

MAX_NAME: Final = 100
"""Characters of a visitor's name, and of a method, that are kept."""

MAX_ERROR: Final = 500
"""Characters of an error's line."""


class Record(Kept):
    """See the module.

    Args:
        ring: Counts what it holds, and says to who looks on that it has changed.
        head: Of the request; its fields are not kept.
        target: Of the request, without its secrets.
        visitor: Who it is, as the edge says; empty: nobody has asked.
        content: What is kept beside the numbers; None: nothing.

    Attributes:
        state: "open", "done", or "cut": the visitor left, or the response is not complete.
        status: Of the response; 0: there is none.
        error: What the app raised, in a line.
        visitor: Who it is.
        replay_of: The exchange that this one repeats; empty: none.
        is_websocket: It is one, and no HTTP exchange.
        is_end_to_end: The edge has not seen it, and must not.
    """

    __slots__ = (
        "_base",
        "_began",
        "_client",
        "_content",
        "_first_byte",
        "_hostname",
        "_http_version",
        "_messages",
        "_method",
        "_received",
        "_request_id",
        "_ring",
        "_scheme",
        "_seconds",
        "_sent",
        "_started",
        "error",
        "is_end_to_end",
        "is_websocket",
        "replay_of",
        "state",
        "status",
        "target",
        "visitor",
    )

    def __init__(
        self, ring: Ring, head: RequestHead, target: bytes, visitor: str, content: Content | None
    ) -> None:
        super().__init__(ring.next_seq)
        self.target = target[:MAX_TARGET]
        self.state = OPEN
        self.status = 0
        self.error = ""
        self.visitor = visitor[:MAX_NAME]
        self.replay_of = ""
        self.is_websocket = False
        self.is_end_to_end = False
        self._sent = 0
        self._received = 0
        self._messages = 0
        self._started = time.time()
        self._began = time.perf_counter()
        self._first_byte = -1.0
        self._seconds = -1.0
        self._ring = ring
        self._content = content
        # All at once: an attribute of a named tuple costs more than an item of a plain one.
        method, _, arrival, self._request_id, self._hostname, _ = head
        self._method = _METHODS.get(method) or method[:MAX_NAME]
        self._client = arrival.client[0]
        self._scheme = arrival.scheme
        self._http_version = arrival.http_version
        self._base = (
            BASE_COST
            + len(self.target)
            + len(self.visitor)
            + len(self._method)
            + len(self._hostname)
        )
        self.held = self._base if content is None else self._base + content.held

    # -- for the drivers ---------------------------------------------------------------------

    def on_request_body(self, data: Buffer, end: bool) -> None:
        """The visitor has sent a piece of the request's body."""
        self._received += len(data)
        if self._content is not None:
            self._keep("request_body", data, end)

    def on_head(self, status: int, fields: Fields) -> None:
        """The app has sent the head of its response."""
        self.status = status
        self._first_byte = time.perf_counter() - self._began
        if self._content is not None:
            self._keep("head", fields)

    def on_body(self, data: bytes) -> None:
        """The app has sent a piece of its response's body."""
        self._sent += len(data)
        if self._content is not None:
            self._messages += self._keep("response_body", data) or 0

    def on_trailers(self, fields: Fields) -> None:
        """The app has sent trailers."""
        if self._content is not None:
            self._keep("trailers", fields)

    def on_message(self, data: str | bytes, size: int, from_app: bool) -> None:
        """A message has passed on a WebSocket."""
        self._messages += 1
        if from_app:
            self._sent += size
        else:
            self._received += size
        if self._content is not None:
            self._keep("message", data, from_app)

    def raised(self, error: BaseException | None) -> None:
        """The app is over; None: without an error. Of one "metadata" keeps the type alone."""
        if error is None:
            self.returned()
            return
        self.error = type(error).__name__
        if self._content is not None:
            self.error = (self._keep("raised", error) or self.error)[:MAX_ERROR]
        self.returned()
        self._ring.journal.note(self.seq)

    def returned(self) -> None:
        """The app is over, and says nothing more."""
        if self._content is not None:
            self._content.forget()

    def failed(self, sentence: str) -> None:
        """The app has done something wrong without raising."""
        if not self.error:
            self.error = sentence

    def finish(self) -> None:
        """All has passed that was to pass."""
        self._end(DONE)

    def cut(self) -> None:
        """It ends before all has passed."""
        self._end(CUT)

    # -- for who reads -----------------------------------------------------------------------

    def summary(self, name: str) -> dict[str, Any]:
        """Return the numbers of it.

        Args:
            name: Its id.
        """
        path, mark, query = as_text(self.target).partition("?")
        if self._content is None:
            query = query.replace("...", "\u2026")  # as `recorder.without_values` left them
        return {
            "id": name,
            "seq": self.seq,
            "request_id": self._request_id.decode("latin-1"),
            "kind": "websocket" if self.is_websocket else "http",
            "started": self._started,
            "host": self._hostname.decode("latin-1"),
            "method": self._method.decode("latin-1"),
            "path": path + mark + query,
            "status": self.status or None,
            "state": self.state,
            "error": self.error or None,
            "seconds": None if self._seconds < 0 else round(self._seconds, 6),
            "first_byte": None if self._first_byte < 0 else round(self._first_byte, 6),
            "sent": self._sent,
            "received": self._received,
            "messages": self._messages,
            "client": self._client,
            "visitor": self.visitor or None,
            "replay_of": self.replay_of or None,
            "end_to_end": self.is_end_to_end,
        }

    def detail(self, name: str) -> dict[str, Any]:
        """Return all that is kept of it; arguments as :meth:`summary`."""
        found = self.summary(name)
        found["scheme"] = self._scheme
        found["http_version"] = self._http_version
        if self._content is not None:
            found["level"] = "full"
            found.update(self._content.to_json())
        else:
            found["level"] = "metadata"
            found["request"] = {"fields": [], "body": None}
            found["response"] = {"fields": [], "body": None} if self.status else None
            found["trailers"] = []
            found["exchange_messages"] = []
            found["traceback"] = None
        return found

    def drop(self) -> None:
        """See :class:`.ring.Kept`: what is in progress is counted on, and not kept."""
        super().drop()
        if self._content is not None:
            self._content.drop()
            self._content = None

    def _end(self, state: str) -> None:
        if self.state != OPEN:
            return
        self.state = state
        self._seconds = time.perf_counter() - self._began
        if self._content is not None:
            self._keep("finish")
        self._ring.journal.note(self.seq)

    def _keep(self, method: str, *values: Any) -> Any:
        """Let the content take something, and count what it holds; a defect ends no exchange."""
        content, found = self._content, None
        if content is None:
            return None
        try:
            found = getattr(content, method)(*values)
        except Exception as error:  # noqa: BLE001 - the exchange must not end by being looked at
            # Without its text, which may hold what was to be taken out.
            _log.error("an exchange goes on without its content: %s", type(error).__name__)
            content.drop()
            self._content = content = None
        self._ring.recount(self, self._base + (0 if content is None else content.held))
        return found
