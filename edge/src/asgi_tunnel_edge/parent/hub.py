"""Passes on between the workers what their bus says (:mod:`..bus.parent`).

The parent knows who lives: the kernel tells it of each death, and a frozen process does not answer.
It keeps who holds what for workers that come later, and understands nothing else of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..channel import Message
    from .loop import Loop, Timer
    from .worker import Worker

__all__ = ["Hub"]

PING_INTERVAL: Final = 1.0
"""Seconds between two questions whether a worker is alive, while there are several."""

MAX_UNANSWERED: Final = 4
"""Questions without any word of a worker, after which the others take it for gone: a frozen one. A
busy event loop answers within 0.1 s."""

MAX_WAITING: Final = 1024 * 1024
"""Bytes that wait for a worker before it gets no more: one that does not read is frozen. When it
reads again it gets the whole table, and has lost events."""

BATCH: Final = 1000
"""Hostnames in one message: 253 KB at the most, of the 1 MiB that one may have."""


class _Member:
    """A worker that has joined."""

    def __init__(self, worker: Worker, node: Message) -> None:
        self.worker = worker
        self.node = node
        self.names: dict[str, None] = {}
        self.unanswered = 0
        self.is_silent = False  # the others take it for gone
        self.is_behind = False  # it has lost messages

    @property
    def id(self) -> str:
        return str(self.node.get("id"))


class Hub:
    """See the module."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._members: dict[int, _Member] = {}  # by process id
        self._timer: Timer | None = None

    @property
    def record(self) -> Message:
        """Which worker is which node, for another version of the parent."""
        return {str(pid): one.node for pid, one in self._members.items()}

    def resume(self, record: Mapping[str, Any], workers: Iterable[Worker]) -> None:
        """Go on with the workers of another version; they say again what they hold."""
        for worker in workers:
            node = record.get(str(worker.pid))
            if node is not None:
                self._members[worker.pid] = _Member(worker, node)
                self._send(worker, {"again": True})
        self._watch()

    def on_message(self, worker: Worker, message: Message) -> None:
        """A worker has said something of the kind "bus"."""
        if "join" in message:
            self._join(worker, message["join"])
        member = self._members.get(worker.pid)
        if member is None:
            return
        self._answered(member)
        if "hold" in message or "release" in message:
            hold, release = message.get("hold", ()), message.get("release", ())
            member.names.update(dict.fromkeys(hold))
            for name in release:
                member.names.pop(name, None)
            self._tell_others(member, {"from": member.id, "hold": hold, "release": release})
        elif "event" in message:
            self._tell_others(member, {"from": member.id, "event": message["event"]})
        elif "leave" in message:
            self.on_end(worker)

    def on_end(self, worker: Worker) -> None:
        """A worker has left, or its process is gone."""
        member = self._members.pop(worker.pid, None)
        if member is not None and not member.is_silent:
            self._tell_others(member, {"gone": member.id})

    def _join(self, worker: Worker, node: Message) -> None:
        before = self._members.get(worker.pid)
        if before is not None and before.node != node:
            self.on_end(worker)
        member = self._members.setdefault(worker.pid, _Member(worker, node))
        self._tell_others(member, {"joined": node})
        self._tell_all(member)
        self._watch()

    def _tell_all(self, member: _Member) -> None:
        """Tell a worker all that is known of the others."""
        worker = member.worker
        member.is_behind = False
        self._send(worker, {"all": True})
        for other in self._members.values():
            if other is not member and not other.is_silent:
                self._introduce(other, [worker])
        self._send(worker, {"all": False})

    def _introduce(self, member: _Member, workers: Iterable[Worker]) -> None:
        names = list(member.names)
        parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
        for worker in workers:
            self._send(worker, {"joined": member.node})
            for part in parts:
                self._send(worker, {"from": member.id, "hold": part, "release": []})

    def _tell_others(self, member: _Member, message: Message) -> None:
        for other in self._members.values():
            if other is not member and not other.is_behind:
                if other.worker.waiting > MAX_WAITING:
                    other.is_behind = True
                else:
                    self._send(other.worker, message)

    def _send(self, worker: Worker, message: Message) -> None:
        worker.send({"type": "bus", **message})

    # -- who lives ---------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._timer is None and len(self._members) > 1:
            self._timer = self._loop.call_later(PING_INTERVAL, self._ping)

    def _ping(self) -> None:
        self._timer = None
        for member in list(self._members.values()):
            member.unanswered += 1
            if member.unanswered > MAX_UNANSWERED and not member.is_silent:
                member.is_silent = True
                self._tell_others(member, {"gone": member.id})
            if member.worker.waiting <= MAX_WAITING:
                self._send(member.worker, {"ping": True})
        self._watch()

    def _answered(self, member: _Member) -> None:
        member.unanswered = 0
        if member.is_silent:
            member.is_silent = False
            others = [one.worker for one in self._members.values() if one is not member]
            self._introduce(member, others)
        if member.is_behind and not member.worker.waiting:
            self._tell_all(member)
