from __future__ import annotations

from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.limits import HEARTBEAT_INTERVAL, SUSPECT_AFTER, Settings, Timing


def pair() -> tuple[Connection, Connection]:
    """Both ends, with their first PINGs answered."""
    ends = [
        Connection(role, local=Settings(), peer=Settings(), timing=Timing(), now=0.0)
        for role in Role
    ]
    for _ in range(2):
        first, second = (end.data_to_send() for end in ends)
        ends[0].receive_data(second, 0.0)
        ends[1].receive_data(first, 0.0)
    return ends[0], ends[1]


def test_silence_alone_is_not_suspect() -> None:
    """As long as no PING waits, a quiet session takes new streams."""
    here, _ = pair()
    assert not here.is_suspect(HEARTBEAT_INTERVAL)


def test_a_waiting_ping_is_suspect() -> None:
    """A PING without any byte after it makes the session suspect; a byte ends that."""
    here, there = pair()
    here.handle_deadline(HEARTBEAT_INTERVAL)
    ping = here.data_to_send()
    assert not here.is_suspect(HEARTBEAT_INTERVAL + SUSPECT_AFTER)
    late = HEARTBEAT_INTERVAL + SUSPECT_AFTER + 0.1
    assert here.is_suspect(late)
    there.receive_data(ping, late)
    here.receive_data(there.data_to_send(), late)
    assert not here.is_suspect(late + SUSPECT_AFTER + 0.1)
