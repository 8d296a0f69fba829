"""WebSockets keep their messages, their ends and their codes through the tunnel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from .harness import Edge, Process, allowed, running_app, running_edge, wait_until
from .visitor import TIMEOUT, Visitor, ask_json, figure, visiting

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024

HELD = 12 * MIB
"""Bytes that may be on their way to somebody who takes none: outbox, window, socket buffers."""

BUFFER = 64 * 1024
"""Socket buffers of a visitor that stalls: the kernel's own may grow to tens of MiB."""

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
FINAL = 0x80

CLOSES = [
    pytest.param(1000, "", id="1000"),
    pytest.param(1001, "going away", id="1001"),
    pytest.param(1013, "try again", id="1013"),
    pytest.param(3000, "x", id="3000"),
    pytest.param(4999, "r" * 123, id="4999-long"),
    pytest.param(4000, "zażółć gęślą jaźń ✓", id="4000-utf8"),
    pytest.param(4001, "é" * 61, id="4001-long-utf8"),
]


class Stage:
    """A running edge, and the process of an app behind it."""

    def __init__(self, edge: Edge, app: Process) -> None:
        self.edge = edge
        self.app = app

    def connect(self, path: str, **options: Any) -> connect:
        """Return a WebSocket to be opened."""
        options = {"compression": None, "ping_interval": None, "max_size": None, **options}
        url = f"ws://shop.example.test{path}"
        return connect(url, host="127.0.0.1", port=self.edge.port, proxy=None, **options)

    def seen(self, key: str) -> dict[str, Any]:
        """Return what the app saw in the last call with ``key``."""
        found = ask_json(self.edge, f"/{key}")
        assert isinstance(found, dict)
        return found

    def ended(self, key: str) -> tuple[int, str]:
        """Return the code and the reason that the app was told."""
        wait_until(lambda: "ended" in self.seen(key), timeout=5, what=f"{key} has not ended")
        seen = self.seen(key)
        return seen["code"], seen["reason"]


@contextmanager
def stage(folder: Path, limits: str = "") -> Iterator[Stage]:
    """Start an edge and the WebSocket app."""
    with running_edge(folder, limits=limits) as edge:
        token = edge.create_token("shop")
        here = Path(__file__).parent
        with running_app(folder, token, "apps_websocket:app", app_dir=here) as app:
            yield Stage(edge, app)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One edge and one app for the tests that do not look at memory."""
    with stage(tmp_path_factory.mktemp("websocket")) as found:
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stage]:
    """Processes whose memory is this test's own."""
    with stage(tmp_path) as found:
        yield found


# -- messages --------------------------------------------------------------------------------

SIZES = [0, 1, 125, 126, 65535, 65536, 131072, 1_000_003, 16 * MIB]


@pytest.mark.parametrize("size", SIZES)
async def test_messages_of_any_size_come_back_as_what_they_were(shared: Stage, size: int) -> None:
    """Text and binary messages of 0 bytes to 16 MiB keep their type, size and bytes."""
    pattern = bytes(range(97, 123)) * (size // 26 + 1)
    data = pattern[:size]
    async with shared.connect("/echo/any") as socket:
        await socket.send(data)
        assert await socket.recv() == data
        await socket.send(data.decode())
        assert await socket.recv() == data.decode()


async def test_text_is_cut_anywhere(shared: Stage) -> None:
    """A long text of four-byte characters survives every cut on its way."""
    text = "x" + "😀" * 500_000
    async with shared.connect("/echo/smile") as socket:
        await socket.send(text)
        assert await socket.recv() == text


async def test_order_and_boundaries(shared: Stage) -> None:
    """A burst of messages keeps its order and its boundaries."""
    sent: list[str | bytes] = []
    async with shared.connect("/echo/burst") as socket:
        for number in range(1000):
            message = b"%d" % number * (number % 50)
            sent.append(message.decode() if number % 2 else message)
        for one in sent:
            await socket.send(one)
        assert [await socket.recv() for _ in sent] == sent


@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_message_above_the_limit_is_1009(shared: Stage, kind: str) -> None:
    """16 MiB pass; one byte more closes with 1009, which the app is told as well."""
    unit: Any = "x" if kind == "text" else b"x"
    async with shared.connect(f"/measure/big{kind}") as socket:
        await socket.send(unit * (16 * MIB))
        assert await socket.recv() == f"{kind} {16 * MIB}"
        assert await refusal(socket, unit * (16 * MIB + 1)) == CloseCode.MESSAGE_TOO_BIG
    assert shared.ended(f"big{kind}")[0] == 1009


async def test_fragments_above_the_limit_are_1009(shared: Stage) -> None:
    """Fragments that together exceed 16 MiB close with 1009."""
    async with shared.connect("/measure/parts") as socket:
        code = await refusal(socket, [bytes(MIB)] * 16 + [b"x"])
        assert code == CloseCode.MESSAGE_TOO_BIG
    assert shared.ended("parts")[0] == 1009


async def refusal(socket: ClientConnection, message: Any) -> int:
    """Send a message that the other side closes for; return its code."""
    try:
        await socket.send(message)
    except ConnectionClosed:
        pass  # it closed while the message was still being sent
    return (await closed(socket))[0]


async def test_app_may_send_16_mib(shared: Stage) -> None:
    """An app's message of 16 MiB arrives as one message."""
    for query in ("", "&text"):
        async with shared.connect(f"/produce/big?size={16 * MIB}{query}") as socket:
            assert len(await socket.recv()) == 16 * MIB


def test_fragments_arrive_as_one_message(shared: Stage) -> None:
    """Fragments, empty ones and a ping between them included, are one message to the app."""
    with visiting(shared.edge) as visitor:
        assert visitor.upgrade("/echo/fragments").status == 101
        visitor.send_frame(TEXT, b"za", final=False)
        visitor.send_frame(CONTINUATION, "ż".encode()[:1], final=False)
        visitor.send_frame(PING, b"between")
        visitor.send_frame(CONTINUATION, b"", final=False)
        visitor.send_frame(CONTINUATION, "ż".encode()[1:])
        assert visitor.read_frame() == (FINAL | PONG, b"between")
        assert visitor.read_frame() == (FINAL | TEXT, "zaż".encode())


async def test_messages_right_after_accept_arrive(shared: Stage) -> None:
    """What the app sends together with the handshake arrives, empty messages included."""
    async with shared.connect("/greet/greet") as socket:
        assert [await socket.recv() for _ in range(3)] == ["one", "", "three"]


def test_messages_before_a_close_reach_the_app(shared: Stage) -> None:
    """An app gets every message that came before the close, however fast that was."""
    with visiting(shared.edge) as visitor:
        visitor.upgrade("/listen/hasty")
        for _ in range(100):
            visitor.send_frame(TEXT, b"hello")
        visitor.send_frame(CLOSE, b"\x03\xe8")
    assert shared.ended("hasty") == (1000, "")
    assert shared.seen("hasty")["messages"] == 100


async def test_ping_is_answered_by_the_edge(shared: Stage) -> None:
    """A ping gets its pong, and the app never sees either."""
    async with shared.connect("/measure/ping") as socket:
        before = time.monotonic()
        for payload in (b"", b"x" * 125):
            await (await socket.ping(payload))
        assert time.monotonic() - before < allowed(1, before)
        await socket.send("hello")
        await socket.recv()
    assert shared.ended("ping") == (1000, "")
    assert shared.seen("ping")["messages"] == 1


# -- the handshake ---------------------------------------------------------------------------


async def test_subprotocol_is_the_apps_choice(shared: Stage) -> None:
    """The app sees what was offered in order, and its choice comes back."""
    offered = [Subprotocol("chat.v1"), Subprotocol("chat.v2")]
    async with shared.connect("/choose/sub", subprotocols=offered) as socket:
        assert socket.subprotocol == "chat.v2"
        assert socket.response is not None
        assert socket.response.headers["x-seen"] == "chat.v1,chat.v2"


async def test_no_subprotocol(shared: Stage) -> None:
    """Without an offer there is none in the response."""
    async with shared.connect("/choose/none") as socket:
        assert socket.subprotocol is None


async def test_close_before_accept_is_403(shared: Stage) -> None:
    """An app that closes before it accepts refuses the handshake with 403."""
    assert (await refused(shared, "/refuse/refuse")).response.status_code == 403
    assert shared.ended("refuse")[0] == 1006


async def test_denial_response(shared: Stage) -> None:
    """An app's own answer to the handshake arrives with status, fields and body."""
    answer = (await refused(shared, "/deny/deny")).response
    assert answer.status_code == 418
    assert answer.headers["content-type"] == "text/tea"
    assert answer.headers["x-pot"] == "short"
    assert answer.body == b"I am a teapot"
    assert shared.ended("deny")[0] == 1006


async def test_error_before_accept_is_500(shared: Stage) -> None:
    """An app that raises before it accepts answers 500 and tells no secret."""
    answer = (await refused(shared, "/fail/early?when=before")).response
    assert answer.status_code == 500
    assert answer.body == b"Internal Server Error"


async def refused(shared: Stage, path: str) -> InvalidStatus:
    """Return how the handshake was refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with shared.connect(path):
            pass
    return caught.value


# -- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_close_of_the_visitor_is_exact(shared: Stage, code: int, reason: str) -> None:
    """The visitor's code and reason reach the app unchanged."""
    async with shared.connect(f"/echo/out{code}") as socket:
        await socket.close(code, reason)
        assert socket.close_code == code
    assert shared.ended(f"out{code}") == (code, reason)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_close_of_the_app_is_exact(shared: Stage, code: int, reason: str) -> None:
    """The app's code and reason reach the visitor unchanged."""
    query = f"code={code}&reason={quote(reason)}"
    async with shared.connect(f"/close/in{code}?{query}") as socket:
        assert await closed(socket) == (code, reason)
    assert shared.ended(f"in{code}") == (code, reason)


async def test_close_without_code_is_1000(shared: Stage) -> None:
    """An app that closes without a code closes with 1000 and no reason."""
    async with shared.connect("/close/bare") as socket:
        assert await closed(socket) == (1000, "")


def test_close_frame_without_code_is_1005(shared: Stage) -> None:
    """An empty close frame is answered by an empty one; the app is told 1005."""
    with visiting(shared.edge) as visitor:
        visitor.upgrade("/echo/empty")
        visitor.send_frame(CLOSE)
        assert visitor.read_frame() == (FINAL | CLOSE, b"")
        assert visitor.read_rest() == (b"", False)
    assert shared.ended("empty") == (1005, "")


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
def test_vanished_visitor_is_1006(shared: Stage, reset: bool) -> None:
    """An app hears of a visitor that leaves without a close frame within a second."""
    key = f"vanished{reset}"
    with visiting(shared.edge) as visitor:
        visitor.upgrade(f"/echo/{key}")
        visitor.leave(reset=reset)
        left = time.monotonic()
        assert shared.ended(key)[0] == 1006
        assert time.monotonic() - left < allowed(1.0, left)


async def test_app_that_raises_is_1011(shared: Stage) -> None:
    """An app that raises after it accepted closes with 1011 and tells no secret."""
    async with shared.connect("/fail/late?when=after") as socket:
        code, reason = await closed(socket)
    assert code == 1011
    assert "secret" not in reason


async def test_app_that_returns_is_1000(shared: Stage) -> None:
    """An app that returns without a close closes with 1000."""
    async with shared.connect("/leave/leave") as socket:
        assert await closed(socket) == (1000, "")


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Return how the other side closes."""
    with pytest.raises(ConnectionClosed) as caught:
        await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


# -- backpressure ----------------------------------------------------------------------------


def test_visitor_that_reads_nothing_stops_the_app(fresh: Stage) -> None:
    """``websocket.send`` holds the app while nobody reads; then every message arrives."""
    count = 1024  # of 64 KiB
    before = [one.rss() for one in (fresh.edge.running, fresh.app)]
    with visiting(fresh.edge, buffer=BUFFER) as visitor:
        visitor.upgrade(f"/flood/flood?count={count}")
        held = settled(fresh, "flood")
        growth = [one.rss() - old for one, old in zip(processes(fresh), before, strict=True)]
        figure(f"slow reader: {held / MIB:.1f} MiB, growth {[one / MIB for one in growth]} MiB")
        assert held < HELD
        assert max(growth) < 32 * MIB
        for number in range(count):
            assert int.from_bytes(read_message(visitor)[:8], "big") == number


def read_message(visitor: Visitor) -> bytes:
    """Return one message, whatever frames it comes in."""
    parts = []
    while True:
        first, payload = visitor.read_frame()
        parts.append(payload)
        if first & FINAL:
            return b"".join(parts)


def test_visitor_that_leaves_frees_a_waiting_send(shared: Stage) -> None:
    """A ``websocket.send`` that waits for a visitor raises as soon as that one has left."""
    with visiting(shared.edge, buffer=BUFFER) as visitor:
        visitor.upgrade("/press/press")
        settled(shared, "press")
        visitor.leave()
        assert shared.ended("press")[0] == 1006
    assert shared.seen("press")["raised"] == "ClientDisconnectedError"


def test_visitor_that_left_without_reading_leaves_nothing_behind(fresh: Stage) -> None:
    """Messages for a visitor that stalled and left hold no stream: the edge stops at once."""
    for _ in range(10):
        with visiting(fresh.edge, buffer=BUFFER) as visitor:
            visitor.upgrade("/press/gone")
            wait_until(lambda: fresh.seen("gone").get("accepted"))
    assert fresh.ended("gone")[0] == 1006
    started = time.monotonic()
    fresh.edge.stop()
    assert time.monotonic() - started < allowed(3.0, started)


def test_app_that_receives_nothing_stops_the_visitor(fresh: Stage) -> None:
    """Messages stand still while the app does not receive them; then all arrive."""
    before = [one.rss() for one in processes(fresh)]
    with visiting(fresh.edge, buffer=BUFFER) as visitor:
        visitor.upgrade("/deaf/deaf")
        count, rest = send_until_stuck(visitor, pause=1.0)
        growth = [one.rss() - old for one, old in zip(processes(fresh), before, strict=True)]
        figure(f"deaf: {count * BUFFER / MIB:.1f} MiB, growth {[one / MIB for one in growth]} MiB")
        assert count * BUFFER < HELD
        assert max(growth) < 32 * MIB
        ask_json(fresh.edge, "/deaf?go")
        visitor.sock.sendall(rest)
        visitor.send_frame(CLOSE, b"\x03\xe8")
        visitor.read_rest()
    assert fresh.ended("deaf") == (1000, "")
    assert fresh.seen("deaf")["messages"] == count + 1


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Stage]:
    """An edge that pings after 0.3 s of silence."""
    with stage(tmp_path, limits="websocket_ping_interval = 0.3") as found:
        yield found


def test_visitor_held_back_is_not_called_silent(impatient: Stage) -> None:
    """A visitor whose messages the app leaves unread is not closed for want of a pong."""
    with visiting(impatient.edge, buffer=BUFFER) as visitor:
        visitor.upgrade("/deaf/held")
        count, rest = send_until_stuck(visitor, pause=1.5)  # five times the interval
        assert "ended" not in impatient.seen("held")
        ask_json(impatient.edge, "/held?go")
        visitor.sock.sendall(rest)
        wait_until(lambda: impatient.seen("held")["messages"] == count + 1)


def test_silent_visitor_is_1006_to_the_app(impatient: Stage) -> None:
    """A visitor that answers no ping is closed with 1011; the app hears that it was lost."""
    with visiting(impatient.edge) as visitor:
        visitor.upgrade("/listen/silent")
        assert visitor.read_frame() == (FINAL | PING, b"")
        assert visitor.read_frame() == (FINAL | CLOSE, b"\x03\xf3no pong in time")
        assert impatient.ended("silent")[0] == 1006


def send_until_stuck(visitor: Visitor, *, pause: float) -> tuple[int, bytes]:
    """Send messages until nothing is taken for ``pause`` seconds.

    Returns:
        How many were sent, and the rest of the next one.
    """
    frame = bytes((FINAL | BINARY, 0x80 | 127)) + BUFFER.to_bytes(8, "big") + bytes(4 + BUFFER)
    visitor.sock.settimeout(pause)
    try:
        for count in range(1024):
            view = memoryview(frame)
            while view:
                try:
                    view = view[visitor.sock.send(view) :]
                except TimeoutError:
                    return count, bytes(view)
    finally:
        visitor.sock.settimeout(TIMEOUT)
    raise AssertionError("every message was taken")


def processes(found: Stage) -> tuple[Process, Process]:
    """Edge and app, for a look at their memory."""
    return found.edge.running, found.app


def settled(found: Stage, key: str) -> int:
    """Return the bytes that ``send()`` has taken once they no longer grow."""
    count = -1
    deadline = time.monotonic() + 15
    while count != (count := int(found.seen(key).get("accepted", 0))) or not count:
        assert time.monotonic() < deadline, f"still growing at {count} bytes"
        time.sleep(0.5)
    return count
