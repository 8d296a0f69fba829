"""Random programs of operations on both ends of a session, and the record of what came of them.

An operation is three numbers, so that Hypothesis shrinks well; one that makes no sense where it
comes is skipped.  Each end keeps a journal for each stream: what it sent, and what it was given.
Bodies are compared as bytes and WebSocket messages as messages: how they were cut is not kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from asgi_tunnel.protocol.codes import DrainReason, ResetCode
from asgi_tunnel.protocol.connection import Role
from asgi_tunnel.protocol.events import (
    CloseReceived,
    DataReceived,
    DrainReceived,
    Event,
    HeadReceived,
    StreamOpened,
    StreamReset,
    StreamWritable,
    TrailersReceived,
)
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import Fields, ResponseHead
from asgi_tunnel.protocol.limits import Settings

from .pair import REQUEST, ConnectionPair

Operation = tuple[int, int, int]  # which, on which stream, how much

FIELDS: Final[Fields] = [(b"x-a", b"1"), (b"x-a", b""), (b"set-cookie", b"\xff=\r")]
_NOISE: Final = bytes((i * i + (i >> 8) * 7) & 0xFF for i in range(1 << 18))


@dataclass
class Journal:
    """One direction of one stream."""

    entries: list[tuple[object, ...]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)  # of HTTP and BYTES
    message: bytearray = field(default_factory=bytearray)  # of a WebSocket, not yet complete
    ended: bool = False

    def data(self, kind: StreamKind, data: bytes | memoryview, *, text: bool, more: bool) -> None:
        """Add bytes of a body or of a message."""
        if kind is not StreamKind.WEBSOCKET:
            self.body += data
            return
        self.message += data
        if not more:
            self.entries.append(("message", text, bytes(self.message)))
            self.message.clear()

    def end(self, *entry: object) -> None:
        """Close the direction with its last entry."""
        assert not self.ended
        self.entries.append(entry)
        self.ended = True

    def is_start_of(self, whole: Journal) -> bool:
        """Whether this is what arrived of ``whole`` before a reset."""
        messages = [entry for entry in whole.entries if entry not in self.entries]
        return (
            self.entries == whole.entries[: len(self.entries)]
            and whole.body.startswith(self.body)
            and (
                not self.message
                or whole.message.startswith(self.message)
                or any(
                    isinstance(data, bytes) and data.startswith(self.message)
                    for _, _, data in (entry for entry in messages if entry[0] == "message")
                )
            )
        )


@dataclass
class End:
    """What a driver at one end knows."""

    kinds: dict[int, StreamKind] = field(default_factory=dict)
    sent: defaultdict[int, Journal] = field(default_factory=lambda: defaultdict(Journal))
    got: defaultdict[int, Journal] = field(default_factory=lambda: defaultdict(Journal))
    headed: set[int] = field(default_factory=set)  # the head of this side's direction is sent
    fragments: dict[int, bool] = field(default_factory=dict)  # open message: is it text
    unread: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    reset: set[int] = field(default_factory=set)
    waiting: set[int] = field(default_factory=set)
    drains_sent: int = 0
    drains_got: int = 0

    def writable(self) -> list[int]:
        """Streams whose direction from here is open."""
        return [i for i in self.kinds if not self.sent[i].ended and i not in self.reset]


class Program:
    """Runs operations on a pair and checks that each end is given what the other one sent."""

    def __init__(self, *, edge: Settings, connector: Settings) -> None:
        self.pair = ConnectionPair(edge=edge, connector=connector)
        self.ends = {Role.EDGE: End(), Role.CONNECTOR: End()}
        self._offset = 0
        self.losses = 0

    def run(self, operations: Iterable[Operation]) -> None:
        """Run all operations; those that do not apply are skipped."""
        steps = (
            *(self.open, self.open, self.head, self.head, self.finish, self.drain, self.reset),
            *(self.data, self.data, self.data, self.data, self.consume, self.consume),
            *(self.flush, self.flush, self.deliver, self.deliver, self.turn, self.turn),
            self.lose,
        )
        for which, pick, size in operations:
            self.pair.now += 0.001
            steps[which % len(steps)](pick, size)

    # -- operations --------------------------------------------------------------------------

    def open(self, pick: int, size: int) -> None:
        """Open a stream at the edge, perhaps with a body or its end."""
        if not self.pair.edge.can_open:
            return
        end = self.ends[Role.EDGE]
        kind = StreamKind(pick % 3 + 1)
        is_last = pick & 4 > 0 and kind is not StreamKind.WEBSOCKET
        data = self._bytes(size) if pick & 8 and kind is not StreamKind.WEBSOCKET else b""
        stream_id = self.pair.edge.open_stream(
            kind, REQUEST, now=self.pair.now, data=data, end=is_last
        )
        end.kinds[stream_id] = kind
        end.headed.add(stream_id)
        journal = end.sent[stream_id]
        journal.entries.append(("open", kind, REQUEST))
        journal.data(kind, data, text=False, more=True)
        if is_last:
            journal.end("end")

    def head(self, pick: int, size: int) -> None:
        """Answer with a head, interim for some sizes."""
        end = self.ends[Role.CONNECTOR]
        stream_id = self._pick([i for i in end.writable() if i not in end.headed], pick)
        if stream_id is None:
            return
        interim = size % 5 == 0
        head = ResponseHead(103 if interim else 200 + size % 100, FIELDS[: size % 4])
        end.sent[stream_id].entries.append(("head", head))
        if not interim:
            end.headed.add(stream_id)
        self._answer(Role.CONNECTOR, stream_id, self.pair.connector.send_head(stream_id, head))

    def data(self, pick: int, size: int) -> None:
        """Send bytes of a body or of a message."""
        role, end = self._side(size)
        stream_id = self._pick([i for i in end.writable() if i in end.headed], pick)
        if stream_id is None:
            return
        kind = end.kinds[stream_id]
        is_socket = kind is StreamKind.WEBSOCKET
        data = self._bytes(size)
        more = is_socket and pick & 64 > 0
        text = end.fragments.pop(stream_id, is_socket and pick & 128 > 0)
        if more:
            end.fragments[stream_id] = text
        is_last = not is_socket and pick & 64 > 0
        end.sent[stream_id].data(kind, data, text=text, more=more)
        if is_last:
            end.sent[stream_id].end("end")
        ok = self.pair.ends[role].send_data(stream_id, data, end=is_last, text=text, more=more)
        self._answer(role, stream_id, ok)

    def finish(self, pick: int, size: int) -> None:
        """End a direction: TRAILERS, CLOSE or an empty DATA."""
        role, end = self._side(size)
        stream_id = self._pick([i for i in end.writable() if i in end.headed], pick)
        if stream_id is not None:
            self._finish(role, stream_id, size)

    def reset(self, pick: int, size: int) -> None:
        """Reset a stream."""
        role, end = self._side(size)
        stream_id = self._pick([i for i in end.kinds if i not in end.reset], pick)
        if stream_id is None:
            return
        self.pair.ends[role].reset_stream(stream_id, ResetCode.CANCELLED, "gone")
        self._reset(role, stream_id)

    def consume(self, pick: int, size: int) -> None:
        """Read some of what came, one event's bytes or a part of them."""
        role, end = self._side(size)
        stream_id = self._pick([i for i, costs in end.unread.items() if costs], pick)
        if stream_id is None:
            return
        cost = end.unread[stream_id].pop(0)
        part = size % cost + 1
        if part < cost:
            end.unread[stream_id].insert(0, cost - part)
        self.pair.ends[role].consume(stream_id, part, self.pair.now)

    def drain(self, pick: int, size: int) -> None:
        """Say DRAIN."""
        role, end = self._side(size)
        self.pair.ends[role].drain(DrainReason.RESTART, delay=0.5, grace=size)
        end.drains_sent += 1

    def flush(self, pick: int, size: int) -> None:
        """Let one end put a chunk on its wire."""
        role, _ = self._side(pick)
        self.pair.flush(role, size)
        self._record(role, self.pair.ends[role].events())

    def deliver(self, pick: int, size: int) -> None:
        """Bring some bytes to one end."""
        role, _ = self._side(pick)
        self._record(role, self.pair.deliver(role, size * 4))

    def turn(self, pick: int, size: int) -> None:
        """Let each end send a chunk and take all that comes."""
        for role in Role:
            self.flush(role is Role.EDGE, 128 * 1024)
            self._record(role, self.pair.deliver(role))

    def lose(self, pick: int, size: int) -> None:
        """Lose what is in flight and resume; only where the test asks for losses."""

    # -- the end -----------------------------------------------------------------------------

    def settle(self, *, read: bool = True) -> None:
        """Let everything arrive, reading all that comes."""
        pair = self.pair
        while True:
            for role, events in pair.settle().items():
                self._record(role, events)
            if not read or not any(any(end.unread.values()) for end in self.ends.values()):
                break
            for role, end in self.ends.items():
                for stream_id, costs in end.unread.items():
                    for cost in costs:
                        pair.ends[role].consume(stream_id, cost, pair.now)
                    costs.clear()

    def close(self) -> None:
        """Finish every stream, read everything, and compare both ends."""
        self.settle()
        for role, end in self.ends.items():
            for stream_id in end.writable():
                if stream_id not in end.headed:
                    end.headed.add(stream_id)
                    end.sent[stream_id].entries.append(("head", ResponseHead(204, [])))
                    self.pair.connector.send_head(stream_id, ResponseHead(204, []))
                self._finish(role, stream_id, 2)
        self.settle()
        self.compare()
        self.pair.assert_idle()

    def compare(self) -> None:
        """Each end was given what the other one sent, whole or up to a reset."""
        for role, end in self.ends.items():
            other = self.ends[ConnectionPair.other(role)]
            assert not end.waiting - end.reset
            assert end.drains_got == other.drains_sent
            assert set(end.got) <= set(other.sent)
            for stream_id, sent in other.sent.items():
                got = end.got[stream_id]
                if stream_id in end.reset | other.reset:
                    assert got.is_start_of(sent), stream_id
                else:
                    assert got == sent, stream_id

    # -- inside ------------------------------------------------------------------------------

    def _finish(self, role: Role, stream_id: int, size: int) -> None:
        end = self.ends[role]
        conn = self.pair.ends[role]
        journal = end.sent[stream_id]
        if end.kinds[stream_id] is StreamKind.WEBSOCKET:
            if stream_id in end.fragments:
                text = end.fragments.pop(stream_id)
                journal.data(StreamKind.WEBSOCKET, b"", text=text, more=False)
                conn.send_data(stream_id, b"", text=text)
            journal.end("close", 1000 + size % 10, "bye")
            conn.send_close(stream_id, 1000 + size % 10, "bye")
        elif size & 2:
            journal.end("trailers", FIELDS[: size % 4])
            conn.send_trailers(stream_id, FIELDS[: size % 4])
        else:
            journal.end("end")
            conn.send_data(stream_id, b"", end=True)

    def _side(self, number: int) -> tuple[Role, End]:
        role = Role.EDGE if number & 1 else Role.CONNECTOR
        return role, self.ends[role]

    def _pick(self, streams: list[int], number: int) -> int | None:
        return streams[number % len(streams)] if streams else None

    def _bytes(self, size: int) -> bytes:
        self._offset = (self._offset + 7919) % (1 << 17)
        return _NOISE[self._offset : self._offset + size]

    def _answer(self, role: Role, stream_id: int, ok: bool) -> None:
        if not ok:
            self.ends[role].waiting.add(stream_id)

    def _reset(self, role: Role, stream_id: int) -> None:
        end = self.ends[role]
        end.reset.add(stream_id)
        end.waiting.discard(stream_id)
        end.unread.pop(stream_id, None)

    def _record(self, role: Role, events: list[Event]) -> None:
        end = self.ends[role]
        for event in events:
            match event:
                case StreamOpened(stream_id, kind, head, data, is_last):
                    end.kinds[stream_id] = kind
                    end.got[stream_id].entries.append(("open", kind, head))
                    self._record_data(end, stream_id, data, len(data), is_last)
                case HeadReceived(stream_id, head, data, is_last):
                    end.got[stream_id].entries.append(("head", head))
                    self._record_data(end, stream_id, data, len(data), is_last)
                case DataReceived(stream_id, data, cost, is_last, text, more):
                    if end.kinds[stream_id] is StreamKind.WEBSOCKET:
                        end.got[stream_id].data(StreamKind.WEBSOCKET, data, text=text, more=more)
                        data = b""
                    else:
                        assert not text
                        assert not more
                    self._record_data(end, stream_id, data, cost, is_last)
                case TrailersReceived(stream_id, fields):
                    end.got[stream_id].end("trailers", fields)
                case CloseReceived(stream_id, code, reason):
                    end.got[stream_id].end("close", code, reason)
                case StreamReset(stream_id, code, reason):
                    assert (code, reason) == (ResetCode.CANCELLED, "gone")
                    self._reset(role, stream_id)
                case StreamWritable(stream_id):
                    end.waiting.discard(stream_id)
                case DrainReceived():
                    end.drains_got += 1
                case _:
                    raise AssertionError(event)

    def _record_data(
        self, end: End, stream_id: int, data: bytes | memoryview, cost: int, is_last: bool
    ) -> None:
        assert stream_id not in end.reset
        end.got[stream_id].body += data
        if cost:
            end.unread[stream_id].append(cost)
        if is_last:
            end.got[stream_id].end("end")


class LossyProgram(Program):
    """A program whose transport is lost where an operation says so."""

    def lose(self, pick: int, size: int) -> None:
        """Bring a part of what is in flight, lose the rest, and resume.

        Odd picks let one more chunk of a replay out and lose that as well.
        """
        for role, wire in self.pair.wires.items():
            share = (size * (3 if role is Role.EDGE else 5)) % (len(wire) + 1)
            self._record(role, self.pair.deliver(role, share))
        self.pair.lose()
        self.pair.resume()
        self.losses += 1
        if pick & 1:
            self.flush(pick >> 1, 0)
