"""What one who asks may see of the recorder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .caller import Caller
from .imported import Imported
from .record import Record
from .recorder import Recorder
from .replay import Message

__all__ = ["View"]


class View:
    """The recorder as its caller may see it.

    Args:
        recorder: Has everything.
        caller: Who asks.
    """

    def __init__(self, recorder: Recorder, caller: Caller) -> None:
        self.recorder = recorder
        self._hides = caller.is_remote

    def detail(self, name: str) -> dict[str, Any] | None:
        """Return all that is kept of an exchange; None: there is none of that id."""
        one = self.recorder.find(name)
        return None if one is None or self._is_hidden(one) else one.detail(name)

    def summary(self, seq: int) -> dict[str, Any] | None:
        """Return the numbers of an exchange; None: there is none of that number."""
        one = self.recorder.find_seq(seq)
        return None if one is None or self._is_hidden(one) else self.recorder.summary(one)

    def newest(self, before: int) -> Iterator[dict[str, Any]]:
        """Return the numbers of all below ``before``, the newest one first."""
        for one in self.recorder.newest(before):
            if not self._is_hidden(one):
                yield self.recorder.summary(one)

    def add(self, detail: dict[str, Any]) -> str:
        """Keep an exchange that was not recorded here; see :meth:`.Recorder.add`."""
        return self.recorder.add(detail)

    async def call(
        self,
        scope: dict[str, Any],
        body: bytes,
        *,
        replay_of: str,
        messages: Sequence[Message] | None = None,
    ) -> str:
        """Call the app with a request; see :meth:`.Recorder.call`."""
        return await self.recorder.call(scope, body, replay_of=replay_of, messages=messages)

    def _is_hidden(self, one: Record | Imported) -> bool:
        return self._hides and one.is_end_to_end
