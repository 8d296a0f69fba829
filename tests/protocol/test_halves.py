from __future__ import annotations

from itertools import product

import pytest

from asgi_tunnel.errors import LocalProtocolError, StreamStateError
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.halves import TRANSITIONS, Half, Step
from asgi_tunnel.protocol.limits import Settings
from asgi_tunnel.protocol.stream import Stream
from asgi_tunnel.protocol.window import Windows

ALLOWED = {
    Half.HEAD: {Step.INTERIM: Half.HEAD, Step.HEAD: Half.BODY, Step.RESET: Half.ENDED},
    Half.BODY: {
        Step.DATA: Half.BODY,
        Step.TRAILERS: Half.ENDED,
        Step.CLOSE: Half.ENDED,
        Step.END: Half.ENDED,
        Step.RESET: Half.ENDED,
    },
    Half.ENDED: {Step.RESET: Half.ENDED},
}
PAIRS = list(product(Half, Step))


def make_stream() -> Stream:
    """A stream of no session."""
    return Stream(7, StreamKind.HTTP, Windows(Settings(), Settings(), 0.0))


@pytest.mark.parametrize(("half", "step"), PAIRS, ids=lambda member: member.name)
def test_every_pair_sent(half: Half, step: Step) -> None:
    """Each step in each state moves the sending half, or is this side's defect and is refused."""
    stream = make_stream()
    stream.sent = half
    after = ALLOWED[half].get(step)
    if after is None:
        with pytest.raises(LocalProtocolError, match=rf"{step.name} .* 7: .* {half.name}"):
            stream.send(step)
        assert stream.sent is half
    else:
        stream.send(step)
        assert stream.sent is after


@pytest.mark.parametrize(("half", "step"), PAIRS, ids=lambda member: member.name)
def test_every_pair_received(half: Half, step: Step) -> None:
    """Each step in each state moves the receiving half, or is the peer's STREAM_STATE error."""
    stream = make_stream()
    stream.received = half
    after = ALLOWED[half].get(step)
    if after is None:
        with pytest.raises(StreamStateError, match=rf"{step.name} .* 7.* {half.name}") as error:
            stream.receive(step)
        assert error.value.code == GoawayCode.STREAM_STATE
        assert stream.received is half
    else:
        stream.receive(step)
        assert stream.received is after


def test_the_table_holds_nothing_else() -> None:
    """The table is what these tests walk."""
    assert {
        (half, step): after for half, steps in ALLOWED.items() for step, after in steps.items()
    } == TRANSITIONS


def test_the_end_is_reached_from_everywhere() -> None:
    """No state is a trap: RESET ends each, and nothing leaves ENDED."""
    for half in Half:
        assert TRANSITIONS[half, Step.RESET] is Half.ENDED
    leaving = {after for (half, _), after in TRANSITIONS.items() if half is Half.ENDED}
    assert leaving == {Half.ENDED}


def walk(*steps: Step) -> Half:
    """Return where the table leads from a new stream."""
    half = Half.HEAD
    for step in steps:
        half = TRANSITIONS[half, step]
    return half


def test_fast_paths_agree_with_the_table() -> None:
    """Methods that assign a state without a look-up do what the table says of their steps."""
    stream = make_stream()
    stream.send_open(False)
    assert stream.sent is walk(Step.HEAD)
    stream.send_rest()
    assert stream.sent is walk(Step.HEAD, Step.DATA, Step.END)
    stream = make_stream()
    stream.send_open(True)
    assert stream.sent is walk(Step.HEAD, Step.END)
    stream = make_stream()
    stream.receive_open()
    assert stream.received is walk(Step.HEAD)
    stream.receive_end()
    assert stream.received is walk(Step.HEAD, Step.END)


@pytest.mark.parametrize("half", Half, ids=lambda member: member.name)
def test_reset_agrees_with_the_table(half: Half) -> None:
    """RESET ends both directions from every state."""
    stream = make_stream()
    stream.sent = stream.received = half
    stream.reset()
    assert stream.sent is stream.received is TRANSITIONS[half, Step.RESET]
