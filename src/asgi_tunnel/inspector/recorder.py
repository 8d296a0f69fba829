"""Records exchanges while they pass, and finds them again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from ..protocol.head import RequestHead
from .content import Content
from .imported import Imported
from .record import Record
from .redaction import Redaction, Scrubber
from .replay import Message
from .ring import Kept, Ring
from .settings import Inspect

__all__ = ["OFF", "Call", "Recorder"]

_log = logging.getLogger("asgi_tunnel.inspector")

OFF: Final = "off"

Call = Callable[[dict[str, Any], bytes, str, Sequence[Message] | None], Awaitable[int]]
"""Calls the app with a scope, and a body or messages, to repeat an exchange; returns the record's
number."""

_ID_SIZE: Final = 8  # digits of each half of an id


class Recorder:
    """See the module.

    Args:
        settings: What is kept.

    Attributes:
        level: "metadata", "full" or "off"; may be changed at any time.
        ring: The exchanges.
        on_call: Calls the app for :meth:`call`; None: there is none yet.
    """

    def __init__(self, settings: Inspect) -> None:
        self.settings = settings
        self.level: str = settings.level
        self.ring = Ring(settings.max_bytes)
        self.on_call: Call | None = None
        self._redaction = Redaction(
            settings.redact_fields, settings.redact_keys, settings.show_keys
        )
        self._process = secrets.token_hex(_ID_SIZE // 2)

    # -- for the drivers ---------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether exchanges are recorded now."""
        return self.level != OFF

    def begin(
        self,
        head: RequestHead,
        is_websocket: bool = False,
        is_end_to_end: bool = False,
        visitor: dict[str, Any] | None = None,
    ) -> Record | None:
        """Return the record of an exchange that begins now; None: nothing is recorded.

        Args:
            head: Of the request, without the lines that are no fields.
            is_websocket: It is one.
            is_end_to_end: The edge must not see it.
            visitor: Who it is, as :func:`..asgi.visitor.read_visitor` returns it.
        """
        level = self.level
        if level == OFF:
            return None
        target = head[1]
        content: Content | None = None
        if level == "full":
            content, target = self._content_of(head)
        elif b"?" in target:
            target = without_values(target)
        who = "" if visitor is None else visitor["name"] or visitor["subject"]
        record = Record(self.ring, head, target, who, content)
        record.is_websocket = is_websocket
        record.is_end_to_end = is_end_to_end
        self.ring.add(record)
        return record

    def _content_of(self, head: RequestHead) -> tuple[Content | None, bytes]:
        """Return what is kept of a request's content, and its target without secrets."""
        scrubber = Scrubber(self._redaction)
        try:
            target = scrubber.target(head[1])
            content = Content(scrubber, self.settings.max_body, head[5])
            # Once more, for what the fields have shown as a secret.
            return content, scrubber.text(target).encode("ascii", "replace")
        except Exception as error:  # noqa: BLE001 - the exchange must not end by being looked at
            _log.error("an exchange is recorded without its content: %s", type(error).__name__)
            return None, without_values(head[1])

    def begin_replay(
        self, head: RequestHead, replay_of: str, *, is_websocket: bool
    ) -> Record | None:
        """As :meth:`begin`, for a request that repeats one."""
        found = self.find(replay_of)
        record = self.begin(head, is_websocket, found is not None and found.is_end_to_end)
        if record is not None:
            record.replay_of = replay_of
        return record

    # -- for who reads -----------------------------------------------------------------------

    def id_of(self, seq: int) -> str:
        """Return the id of an exchange: 16 hexadecimal digits, unlike another process's."""
        return f"{self._process}{seq & 0xFFFFFFFF:08x}"

    def find(self, name: str) -> Record | Imported | None:
        """Return an exchange by its id; None: there is none, or it has given way."""
        if len(name) != 2 * _ID_SIZE or not name.startswith(self._process):
            return None
        try:
            found = self.ring.find(int(name[_ID_SIZE:], 16))
        except ValueError:
            return None
        return _as_exchange(found)

    def summary(self, one: Record | Imported) -> dict[str, Any]:
        """Return the numbers of an exchange."""
        return one.summary(self.id_of(one.seq))

    def detail(self, name: str) -> dict[str, Any] | None:
        """Return all that is kept of an exchange; None: there is none of that id."""
        one = self.find(name)
        return None if one is None else one.detail(name)

    def newest(self, before: int) -> Iterator[Record | Imported]:
        """Return the exchanges whose number is below ``before``, the newest one first."""
        for one in self.ring.newest(before):
            found = _as_exchange(one)
            if found is not None:
                yield found

    def find_seq(self, seq: int) -> Record | Imported | None:
        """Return an exchange by its number."""
        return _as_exchange(self.ring.find(seq))

    def clear(self) -> None:
        """Forget all exchanges."""
        self.ring.clear()

    # -- for actions -------------------------------------------------------------------------

    def add(self, detail: dict[str, Any]) -> str:
        """Keep an exchange that was not recorded here; return its id.

        Args:
            detail: As :meth:`detail` returns it; id and number are given anew.

        Secrets are taken out of it as they are when recording.
        """
        one = Imported(self.ring.next_seq, detail, Scrubber(self._redaction))
        self.ring.add(one)
        return self.id_of(one.seq)

    async def call(
        self,
        scope: dict[str, Any],
        body: bytes,
        *,
        replay_of: str,
        messages: Sequence[Message] | None = None,
    ) -> str:
        """Call the app with a request, record it, and return its id when the response is there.

        Args:
            scope: Of ASGI.
            body: Of the request, complete.
            replay_of: The exchange that is repeated.
            messages: What the visitor of a WebSocket sends; None: it is an HTTP request.

        Raises:
            RuntimeError: Nothing is recorded now, or as many calls are in progress as may be.

        A response that takes long, or has no end, is left to go on: its record is open. Cancelling
        this ends the wait and not the call.
        """
        if self.on_call is None or not self.is_on:
            raise RuntimeError("nothing is recorded now")
        return self.id_of(await self.on_call(scope, body, replay_of, messages))


def without_values(target: bytes) -> bytes:
    """Return a target whose query has names and no values."""
    path, has_query, query = target.partition(b"?")
    if not has_query:
        return target
    names = [one.partition(b"=") for one in query.split(b"&")]
    return path + b"?" + b"&".join(name + b"=..." if mark else b"..." for name, mark, _ in names)


def _as_exchange(one: Kept | None) -> Record | Imported | None:
    return one if isinstance(one, Record | Imported) else None
