"""What may be used once, as a challenge: remembered as used, in all nodes, until it is over.

Two nodes that are shown the same thing in the same moment both take it: what one says reaches the
other within milliseconds. A provider's code and a passkey's counter bound what that is worth.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bus.events import Events

__all__ = ["UsedOnce"]


class UsedOnce:
    """See the module.

    Args:
        name: Of the kind of things; the same in all nodes.
        size: How many are remembered; above it the oldest is forgotten.
    """

    def __init__(self, name: str, *, size: int) -> None:
        self._name = name
        self._size = size
        self._used: OrderedDict[str, float] = OrderedDict()  # until when, in seconds since 1970
        self._events: Events | None = None

    def __contains__(self, key: object) -> bool:
        return key in self._used

    def join(self, events: Events) -> None:
        """Tell other nodes what is used here, and hear what is used there, from now on."""
        self._events = events
        events.on("used", lambda event, _: self._hear(event))

    def use(self, key: str, until: float, now: float) -> bool:
        """Use a thing up; return whether it was still there.

        Args:
            key: Names it; not secret once it is used.
            until: When it is over anyway, in seconds since 1970.
            now: Likewise.
        """
        if self._used.get(key, 0.0) > now:
            return False
        self._add(key, until, now)
        if self._events is not None:
            self._events.broadcast(
                {"kind": "used", "of": self._name, "key": key, "until": until, "at": now}
            )
        return True

    def _hear(self, event: dict[str, object]) -> None:
        if event["of"] == self._name:
            until, now = float(str(event["until"])), float(str(event["at"]))
            self._add(str(event["key"]), until, now)

    def _add(self, key: str, until: float, now: float) -> None:
        used = self._used
        used.pop(key, None)
        while used and (len(used) >= self._size or next(iter(used.values())) <= now):
            used.popitem(last=False)
        used[key] = until
