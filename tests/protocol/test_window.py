from __future__ import annotations

import pytest

from asgi_tunnel.errors import FlowControlError
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.limits import (
    INITIAL_STREAM_WINDOW,
    MAX_STREAM_WINDOW,
    SESSION_WINDOW,
    WINDOW_FLOOR,
)
from asgi_tunnel.protocol.window import MIN_RETURN, ReceiveWindow, SendWindow, SessionUse

SIZE = INITIAL_STREAM_WINDOW
FLOOR = WINDOW_FLOOR


def sender(size: int = SIZE, *, limit: int = SESSION_WINDOW, used: int = 0) -> SendWindow:
    """A send window, in a session whose other streams use ``used`` bytes."""
    use = SessionUse(limit)
    use.used = used
    return SendWindow(size, use)


def receiver(size: int = SIZE, *, limit: int = SESSION_WINDOW, used: int = 0) -> ReceiveWindow:
    """A receive window, in a session whose other streams use ``used`` bytes."""
    use = SessionUse(limit)
    use.used = used
    return ReceiveWindow(size, use, 0.0)


def test_stream_window() -> None:
    """What is sent and not returned is missing from the window."""
    window = sender()
    assert window.available() == SIZE
    window.spend(SIZE)
    assert window.available() == 0
    window.credit(100, 0)
    assert window.available() == 100
    window.credit(0, SIZE)
    assert window.available() == SIZE + 100


def test_session_counts_above_the_floor() -> None:
    """Only bytes above the floor count for the session, on the way up and down."""
    window = sender()
    use = window._session
    for spent, used in [(FLOOR, 0), (100, 100), (200, 300)]:
        window.spend(spent)
        assert use.used == used
    for returned, used in [(50, 250), (250 + FLOOR - 10, 0)]:
        window.credit(returned, 0)
        assert use.used == used
    assert window.unread == 10


@pytest.mark.parametrize(
    ("unread", "used", "available"),
    [
        (0, 1000, FLOOR),  # session full: the floor is left
        (1000, 1000, FLOOR - 1000),
        (FLOOR, 1000, 0),
        (0, 900, FLOOR + 100),
        (FLOOR + 50, 900, 50),  # its own 50 are the session's last free bytes but 50
        (0, 2000, FLOOR - 1000),  # never in a correct session; bounded all the same
        (FLOOR + 50, 2000, 0),
    ],
)
def test_session_window(unread: int, used: int, available: int) -> None:
    """The floor stays available while other streams fill the session window."""
    window = sender(limit=1000, used=used)
    window.spend(unread)
    assert window.available() == available


def test_small_window_ignores_the_session() -> None:
    """A window not above the floor never counts for the session."""
    window = sender(FLOOR, limit=0)
    assert window.available() == FLOOR
    window.spend(FLOOR)
    assert window._session.used == 0


def test_held_by_session() -> None:
    """A stream is held by the session when its own window would take a byte more."""
    window = sender(limit=0)
    window.spend(FLOOR)
    assert window.is_held_by_session
    window.spend(SIZE - FLOOR - 9)
    assert not window.is_held_by_session


def test_credit_overrun() -> None:
    """T43: a WINDOW that returns more than was sent is refused."""
    window = sender()
    window.spend(10)
    with pytest.raises(FlowControlError, match="WINDOW returns 11 of 10 bytes") as error:
        window.credit(11, 0)
    assert error.value.code == GoawayCode.FLOW_CONTROL


def test_window_overflow() -> None:
    """T43: a window that would grow above the bound is refused; up to the bound it may."""
    window = sender()
    window.credit(0, MAX_STREAM_WINDOW - SIZE)
    assert window.available() == MAX_STREAM_WINDOW
    with pytest.raises(FlowControlError, match="window of 4194305 bytes exceeds") as error:
        window.credit(0, 1)
    assert error.value.code == GoawayCode.FLOW_CONTROL


def test_send_release() -> None:
    """A reset stream gives all its share of the session back."""
    window = sender()
    window.spend(SIZE)
    window.release()
    assert (window.unread, window._session.used) == (0, 0)


def test_receive_overrun() -> None:
    """T43: one byte above the stream window is refused."""
    window = receiver()
    window.receive(SIZE)
    with pytest.raises(FlowControlError, match="65537 unread bytes exceed the stream") as error:
        window.receive(1)
    assert error.value.code == GoawayCode.FLOW_CONTROL


def test_receive_overrun_of_the_session() -> None:
    """T43: one byte above the session window is refused, though the stream's has room."""
    window = receiver(limit=1000)
    window.receive(FLOOR + 1000)
    with pytest.raises(FlowControlError, match="1001 unread bytes exceed the session") as error:
        window.receive(1)
    assert error.value.code == GoawayCode.FLOW_CONTROL


def test_floor_is_always_received() -> None:
    """A full session refuses nothing within the floor."""
    window = receiver(limit=1000, used=1000)
    window.receive(FLOOR)
    assert window.unread == FLOOR


def test_small_reads_cost_no_window_frame() -> None:
    """Up to half the floor nothing is told: a small exchange has no WINDOW frame."""
    window = receiver()
    window.receive(FLOOR // 2)
    assert window.consume(FLOOR // 2, 9.0, 0.1) is None
    assert window.unread == FLOOR // 2


def test_caught_up_reader_tells() -> None:
    """A reader that has read everything above half the floor says so."""
    window = receiver()
    window.receive(FLOOR // 2 + 1)
    assert window.consume(FLOOR // 2, 9.0, 0.1) is None
    assert window.consume(1, 9.0, 0.1) == (FLOOR // 2 + 1, 0)
    assert window.unread == 0


def test_slow_reader_tells_at_half_the_window() -> None:
    """A reader that lags tells half windows, while the session has room."""
    window = receiver()
    window.receive(SIZE)
    assert window.consume(SIZE // 2 - 1, 9.0, 0.1) is None
    assert window.consume(1, 9.0, 0.1) == (SIZE // 2, 0)
    assert window._session.used == SIZE // 2 - FLOOR


def test_full_session_tells_early() -> None:
    """When half the session window is used, reads above the floor are told from 1 KiB on."""
    window = receiver(limit=2 * SIZE, used=SIZE)
    window.receive(SIZE)
    assert window.consume(MIN_RETURN - 1, 9.0, 0.1) is None
    assert window.consume(1, 9.0, 0.1) == (MIN_RETURN, 0)


def test_growth() -> None:
    """A half window read within four round trips doubles the window, up to the bound."""
    window = receiver()
    now = 0.0
    size = SIZE
    while size < MAX_STREAM_WINDOW:
        window.receive(size // 2)
        now += 0.39
        assert window.consume(size // 2, now, 0.1) == (size // 2, size)
        size *= 2
    window.receive(size)
    assert window.consume(size, now, 0.1) == (size, 0)


def test_growth_of_a_reader_that_keeps_up() -> None:
    """Reads that are told one by one add up to half a window all the same."""
    window = receiver(2 * SIZE)
    told = []
    for _ in range(4):
        window.receive(SIZE // 2)
        told.append(window.consume(SIZE // 2, 0.1, 0.1))
    assert told == [(SIZE // 2, 0), (SIZE // 2, 2 * SIZE), (SIZE // 2, 0), (SIZE // 2, 0)]


def test_no_growth_for_a_slow_reader() -> None:
    """A half window read in four round trips or more is large enough."""
    window = receiver()
    window.receive(SIZE)
    assert window.consume(SIZE, 0.4, 0.1) == (SIZE, 0)


def test_growth_when_ping_takes_no_time() -> None:
    """On loopback the event loops are slower than the line: 10 ms count as four round trips."""
    window = receiver()
    window.receive(SIZE)
    assert window.consume(SIZE, 0.009, 0.0001) == (SIZE, SIZE)
    window.receive(2 * SIZE)
    assert window.consume(2 * SIZE, 0.02, 0.0001) == (2 * SIZE, 0)


def test_no_growth_below_half() -> None:
    """A WINDOW told early, for the session's sake, says nothing about the window's size."""
    window = receiver()
    window.receive(FLOOR)
    assert window.consume(FLOOR, 0.001, 0.1) == (FLOOR, 0)


def test_receive_release() -> None:
    """A reset stream gives all its share of the session back, told or not."""
    window = receiver()
    window.receive(SIZE)
    window.consume(100, 0.0, 0.1)
    window.release()
    assert (window.unread, window._session.used) == (0, 0)
