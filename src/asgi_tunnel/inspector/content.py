"""What level "full" keeps of one exchange: fields, bodies, messages, a traceback.

Nothing secret goes in: :mod:`.redaction` has seen all of it before. Each part has its bound, and
:mod:`.ring` counts what is held.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from sys import getsizeof
from typing import Any, Final

from ..protocol.head import Fields
from .body import Body, clean_text, show_bytes
from .events import EventSplitter
from .redaction import Scrubber

__all__ = ["Content"]

MAX_MESSAGES: Final = 1000
"""Messages, or events, that are kept of one exchange; the oldest gives way."""

MESSAGES_ROOM: Final = 16
"""Bodies whose room the messages of one exchange have together."""

MAX_TRACEBACK: Final = 32 * 1024
"""Characters of a traceback: its end, where it says what went wrong."""

MAX_FRAMES: Final = 60
"""Steps of it, the last ones: a recursion without an end has a thousand alike."""

CONTENT_COST: Final = 1200
"""Bytes that all of it costs when it is empty; measured, as the next two."""

MESSAGE_COST: Final = 600
"""Bytes that a message costs beside its content."""

FIELD_COST: Final = 190
"""Bytes that a field costs beside its content."""


class Content:
    """See the module.

    Args:
        scrubber: Takes the secrets out, and has seen the target.
        limit: Bytes kept of one body or message.
        fields: Of the request.

    Attributes:
        held: Bytes of memory.
        is_dropped: It was the oldest and gave way; nothing is kept any more.
    """

    __slots__ = (
        "_began",
        "_events",
        "_limit",
        "_message_bytes",
        "_messages",
        "_request",
        "_response",
        "_scrubber",
        "_traceback",
        "_trailers",
        "held",
        "is_dropped",
        "request_fields",
        "response_fields",
    )

    def __init__(self, scrubber: Scrubber, limit: int, fields: Fields) -> None:
        self._scrubber = scrubber
        self._limit = limit
        self._began = time.perf_counter()
        self.request_fields = scrubber.fields(fields)
        self.response_fields: list[list[str]] | None = None
        self._request = _body_of(self.request_fields, limit)
        self._response: Body | None = None
        self._trailers: list[list[str]] = []
        self._messages: deque[dict[str, Any]] | None = None
        self._message_bytes = 0
        self._events: EventSplitter | None = None
        self._traceback: str | None = None
        self.is_dropped = False
        self.held = CONTENT_COST + _cost_of(self.request_fields)

    def request_body(self, data: bytes | bytearray | memoryview, end: bool) -> None:
        """Keep a piece of the request's body."""
        if self.is_dropped:
            return
        self.held += self._request.add(data)
        if end:
            self.held += self._request.finish(self._scrubber)

    def head(self, fields: Fields) -> None:
        """Keep the fields of the response."""
        if self.is_dropped:
            return
        shown = self.response_fields = self._scrubber.fields(fields)
        self.held += _cost_of(shown)
        self._response = _body_of(shown, self._limit)
        kind = _value_of(shown, "content-type").lower()
        if kind.startswith("text/event-stream") and not _value_of(shown, "content-encoding"):
            self._events = EventSplitter(self._limit)

    def response_body(self, data: bytes) -> int:
        """Keep a piece of the response's body; return how many events are complete by it."""
        if self.is_dropped or self._response is None:
            return 0
        if self._events is None:
            self.held += self._response.add(data)
            return 0
        self._response.size += len(data)
        before = self._events.held
        found = self._events.split(data)
        self.held += self._events.held - before
        for text, size in found:
            self._add("app", "event", {"text": clean_text(text, self._scrubber)}, size)
        return len(found)

    def trailers(self, fields: Fields) -> None:
        """Keep the trailers."""
        if not self.is_dropped:
            self._trailers = self._scrubber.fields(fields)
            self.held += _cost_of(self._trailers)

    def message(self, data: str | bytes, from_app: bool) -> None:
        """Keep a message of a WebSocket."""
        if self.is_dropped:
            return
        sender = "app" if from_app else "visitor"
        if isinstance(data, str):
            shown = {"text": clean_text(data[: self._limit], self._scrubber)}
            self._add(sender, "text", shown, len(data.encode("utf-8", "replace")))
        else:
            shown = show_bytes(data[: self._limit], self._scrubber)
            self._add(sender, "bytes", shown, len(data))

    def raised(self, error: BaseException) -> str:
        """Keep the traceback of what the app raised; return it in a line."""
        last = traceback.TracebackException.from_exception(error, limit=-MAX_FRAMES)
        line = self._scrubber.text("".join(last.format_exception_only()).strip())
        if not self.is_dropped:
            text = self._scrubber.text("".join(last.format()))
            self._traceback = text[-MAX_TRACEBACK:]
            self.held += getsizeof(self._traceback)
        return line

    def finish(self) -> None:
        """The exchange is over: what is left of its bodies loses its secrets now."""
        if self.is_dropped:
            return
        self.held += self._request.finish(self._scrubber)
        if self._response is not None:
            self.held += self._response.finish(self._scrubber)
        if self._events is not None:
            self.held -= self._events.held
            self._events = None

    def forget(self) -> None:
        """The app is over, and says nothing more: keep none of the secrets it has seen."""
        self._scrubber.forget()

    def drop(self) -> None:
        """Keep nothing from now on."""
        self.is_dropped = True
        self._messages = None
        self._request = Body("", "", 0)
        self._response = self._events = None
        self._traceback = None
        self.held = 0

    def to_json(self) -> dict[str, Any]:
        """Return what a detail has beside its summary."""
        return {
            "request": {"fields": self.request_fields, "body": self._request.to_json()},
            "response": None
            if self.response_fields is None or self._response is None
            else {"fields": self.response_fields, "body": self._response.to_json()},
            "trailers": self._trailers,
            "exchange_messages": list(self._messages or ()),
            "traceback": self._traceback,
        }

    def _add(self, sender: str, kind: str, shown: dict[str, str], size: int) -> None:
        at = round(time.perf_counter() - self._began, 6)
        kept = min(size, self._limit)
        messages = self._messages
        if messages is None:
            messages = self._messages = deque()
        messages.append(
            {"at": at, "from": sender, "type": kind, **shown, "size": size, "kept": kept}
        )
        self._count(_cost_of_message(messages[-1]))
        room = MESSAGES_ROOM * max(self._limit, MESSAGE_COST)
        while len(messages) > MAX_MESSAGES or (self._message_bytes > room and len(messages) > 1):
            self._count(-_cost_of_message(messages.popleft()))

    def _count(self, size: int) -> None:
        self._message_bytes += size
        self.held += size


def _body_of(fields: list[list[str]], limit: int) -> Body:
    return Body(_value_of(fields, "content-type"), _value_of(fields, "content-encoding"), limit)


def _value_of(fields: list[list[str]], name: str) -> str:
    return next((value for one, value in fields if one == name), "")


def _cost_of_message(message: dict[str, Any]) -> int:
    return MESSAGE_COST + getsizeof(message.get("text") or message.get("base64") or "")


def _cost_of(fields: list[list[str]]) -> int:
    return sum(len(name) + len(value) + FIELD_COST for name, value in fields)
