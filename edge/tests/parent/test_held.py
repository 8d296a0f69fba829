from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from asgi_tunnel_edge.parent.held import HeldSockets


def is_open(handle: int) -> bool:
    """Whether a descriptor is."""
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


@pytest.fixture
def handles(tmp_path: Path) -> list[int]:
    """Four descriptors, one after the other."""
    first = os.open(tmp_path, os.O_RDONLY)
    found = [fcntl.fcntl(first, fcntl.F_DUPFD, 700 + number) for number in range(4)]
    os.close(first)
    return found


def test_what_is_not_used_is_closed(handles: list[int]) -> None:
    """A name holds what was opened last; what no settings name any more is closed."""
    held = HeldSockets()
    held.hold("listen a:1", handles[:2])
    held.hold("listen a:2", handles[2:3])
    held.hold("listen a:2", handles[3:])
    assert not is_open(handles[2])
    held.keep(["listen a:2"])
    assert [is_open(one) for one in handles] == [False, False, False, True]
    assert held.names == {"listen a:2": [handles[3]]}
    assert held.handles == [handles[3]]
    held.keep([])
    assert not is_open(handles[3])


def test_given_by_a_service_manager(handles: list[int]) -> None:
    """Only what is meant for this process; it stays, used or not."""
    held = HeldSockets()
    held.take_given({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, handles[0])
    assert held.names == {}
    mine = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "4", "LISTEN_FDNAMES": "listen:listen:"}
    held.take_given(mine, handles[0])
    assert held.names == {"listen": handles[:2], "unknown": handles[2:]}
    held.keep([])
    assert all(map(is_open, handles))
    held.close()
    assert not any(map(is_open, handles))
