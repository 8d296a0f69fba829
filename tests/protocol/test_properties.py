from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.protocol.limits import Settings

from .pair import examples
from .program import LossyProgram, Operation, Program

SIZES = st.one_of(st.integers(0, 3_000), st.integers(0, 70_000), st.integers(9_000, 70_000))
OPERATIONS: st.SearchStrategy[list[Operation]] = st.lists(
    st.tuples(st.integers(0, 19), st.integers(0, 255), SIZES), min_size=40, max_size=200
)
SETTINGS = st.builds(
    Settings,
    stream_window=st.sampled_from([16_384, 20_000, 65_536]),
    session_window=st.sampled_from([16_384, 30_000, 16_777_216]),
    max_streams=st.sampled_from([2, 5, 16_384]),
)


@examples(80)
@given(edge=SETTINGS, connector=SETTINGS, operations=OPERATIONS)
def test_any_interleaving_delivers_what_was_sent(
    edge: Settings, connector: Settings, operations: list[Operation]
) -> None:
    """Each end is given what the other sent, in order and within the windows, and nothing stays."""
    program = Program(edge=edge, connector=connector)
    program.run(operations)
    program.close()


@examples(100)
@given(edge=SETTINGS, connector=SETTINGS, operations=OPERATIONS)
def test_losses_change_nothing(
    edge: Settings, connector: Settings, operations: list[Operation]
) -> None:
    """A transport lost anywhere, also during a replay, delivers what a lossless one delivers."""
    program = LossyProgram(edge=edge, connector=connector)
    program.run(operations)
    program.close()
