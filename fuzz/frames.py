"""The tunnel's own protocol: whatever a peer sends, ``receive_data`` raises nothing.

The first byte chooses the role and how the rest is cut.
"""

import shlex
import sys

import atheris

with atheris.instrument_imports(include=["asgi_tunnel.protocol"]):
    from asgi_tunnel.errors import FrameError
    from asgi_tunnel.protocol.connection import Connection, Role, State
    from asgi_tunnel.protocol.frames import FrameDecoder, StreamKind
    from asgi_tunnel.protocol.head import Arrival, RequestHead
    from asgi_tunnel.protocol.limits import Settings, Timing

ARRIVAL = Arrival(b"https", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 443)
HEAD = RequestHead(b"GET", b"/", ARRIVAL, b"id", b"a.test", [])


def decode(data: bytes, step: int) -> list[tuple[int, int, int, bytes]] | None:
    """Frames, or None where one is too large, whatever the cut."""
    decoder = FrameDecoder()
    found = list[tuple[int, int, int, bytes]]()
    try:
        for at in range(0, len(data), step):
            frames = decoder.feed(data[at : at + step])
            found += [(one.type, one.flags, one.stream_id, bytes(one.payload)) for one in frames]
    except FrameError:
        return None
    return found


def run(data: bytes) -> None:
    """One input."""
    if not data:
        return
    assert decode(data[1:], data[0] % 37 + 1) == decode(data[1:], len(data))
    is_edge = bool(data[0] & 1)
    connection = Connection(
        Role.EDGE if is_edge else Role.CONNECTOR,
        local=Settings(),
        peer=Settings(),
        timing=Timing(),
        now=0.0,
    )
    if is_edge:
        for kind in (StreamKind.HTTP, StreamKind.WEBSOCKET):
            connection.open_stream(kind, HEAD, now=0.0, end=False)
    step = data[0] // 2 * 32 + 1
    now = 0.0
    for at in range(1, len(data), step):
        now += 0.001
        connection.receive_data(data[at : at + step], now)
        while connection.is_behind:
            connection.read_on(now)
        for _event in connection.events():
            pass
        connection.data_to_send()
        if connection.state is State.TERMINATED:
            break
    deadline = connection.next_deadline()
    if deadline is not None:
        connection.handle_deadline(deadline)
        connection.data_to_send()


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
