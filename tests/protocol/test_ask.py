"""ASK and REPLY: what an app wants of its edge, beside its streams (docs/protocol.md 6.1)."""

from __future__ import annotations

import pytest

from asgi_tunnel.errors import LocalProtocolError
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.connection import Role
from asgi_tunnel.protocol.events import AskReceived, ReplyReceived
from asgi_tunnel.protocol.frames import FrameType, encode_frame
from asgi_tunnel.protocol.limits import ASK_COST, MAX_ASK_SIZE, OVERHEAD_BURST, OVERHEAD_RATE
from asgi_tunnel.protocol.overhead import Allowance

from .pair import ConnectionPair, connection, only, terminated

NUMBER = (7).to_bytes(4, "big")


def test_an_ask_and_its_reply() -> None:
    """Each comes out at the other end with its number, and once."""
    pair = ConnectionPair()
    pair.settle()
    pair.connector.ask(7, {"ban": "192.0.2.7", "seconds": 60})
    event = only(pair.settle()[Role.EDGE], AskReceived)
    assert event == AskReceived(7, {"ban": "192.0.2.7", "seconds": 60})
    pair.edge.ask(7, {"ok": True})
    assert pair.settle()[Role.CONNECTOR] == [ReplyReceived(7, {"ok": True})]


def test_an_ask_that_is_lost_is_sent_again() -> None:
    """It is sequenced: a loss of the line loses neither, nor doubles one."""
    pair = ConnectionPair()
    pair.settle()
    pair.connector.ask(7, {"allow": "192.0.2.7"})
    pair.flush(Role.CONNECTOR)
    pair.lose()
    pair.resume()
    assert only(pair.settle()[Role.EDGE], AskReceived).number == 7
    pair.edge.ask(7, {"ok": True})
    pair.flush(Role.EDGE)
    pair.lose()
    pair.resume()
    assert only(pair.settle()[Role.CONNECTOR], ReplyReceived).number == 7


@pytest.mark.parametrize(
    ("role", "kind", "payload", "sentence"),
    [
        (Role.CONNECTOR, FrameType.ASK, NUMBER + b"{}", "ASK is for the edge"),
        (Role.EDGE, FrameType.REPLY, NUMBER + b"{}", "REPLY is for the connector"),
        (Role.EDGE, FrameType.ASK, b"", "ASK or REPLY of 0 bytes"),
        (Role.EDGE, FrameType.ASK, NUMBER, "ASK or REPLY of 4 bytes"),
        (Role.EDGE, FrameType.ASK, NUMBER + b"[]", "not a JSON object"),
        (Role.EDGE, FrameType.ASK, NUMBER + b"{", "not a JSON object"),
        (Role.EDGE, FrameType.ASK, NUMBER + b"\xff", "not a JSON object"),
        (Role.EDGE, FrameType.ASK, NUMBER + b"[" * MAX_ASK_SIZE, "not a JSON object"),
        (Role.EDGE, FrameType.ASK, NUMBER + b" " * (MAX_ASK_SIZE + 1), "of 1029 bytes"),
    ],
)
def test_what_ends_the_session(role: Role, kind: FrameType, payload: bytes, sentence: str) -> None:
    """A wrong side, size or form is a FRAME_ERROR."""
    end = connection(role)
    end.receive_data(encode_frame(kind, payload), 0.0)
    event = terminated(end)
    assert event.code == GoawayCode.FRAME_ERROR
    assert sentence in event.reason


def test_a_flood_of_asks_ends_the_session() -> None:
    """T112: each counts as a hundred frames without content: a thousand at once, 200 a second."""
    end = connection(Role.EDGE)
    end.overhead.allowance = Allowance(OVERHEAD_RATE, OVERHEAD_BURST)
    frame = encode_frame(FrameType.ASK, NUMBER + b"{}")
    for _ in range(OVERHEAD_BURST // ASK_COST):
        end.receive_data(frame, 0.0)
    assert len([one for one in end.events() if isinstance(one, AskReceived)]) == 1000
    end.receive_data(frame, 0.0)
    assert terminated(end).code == GoawayCode.OVERLOAD


def test_the_longest_reason_fits() -> None:
    """Of 200 characters, whatever they are."""
    pair = ConnectionPair()
    pair.settle()
    for letter in ("x", "\N{PILE OF POO}", "\ud800", '"', "\n"):
        values = {"ban": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128", "seconds": 2592000.0}
        pair.connector.ask(1, {**values, "reason": letter * 200})
        assert only(pair.settle()[Role.EDGE], AskReceived).values["ban"] == values["ban"]


def test_an_ask_has_a_bound_of_its_own() -> None:
    """What is too large is this side's mistake, before anything is sent."""
    with pytest.raises(LocalProtocolError, match="above 1024"):
        connection(Role.CONNECTOR).ask(1, {"ban": "x" * MAX_ASK_SIZE})
