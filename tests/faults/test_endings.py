"""What a visitor's WebSocket is told when the other side goes: never a bare 1006."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.e2e.harness import allowed
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from asgi_tunnel.stop import SAME

from .conftest import Row
from .world import HOSTNAME, World, world

if TYPE_CHECKING:
    from tests.e2e.harness import Process

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge that gives lost sessions up after a second."""
    with world(tmp_path_factory.mktemp("endings"), limits="resume_window = 1.0") as one:
        yield one


@contextmanager
def open_echo(one: World) -> Iterator[ClientConnection]:
    """A WebSocket that works."""
    sock = socket.create_connection(("127.0.0.1", one.edge.port), timeout=20)
    with connect(f"ws://{HOSTNAME}/echo", sock=sock, ping_interval=None) as echo:
        echo.send("1")
        assert echo.recv(timeout=10) == "1"
        yield echo


def stop_app(one: World, app: Process) -> None:
    """SIGTERM."""
    assert app.stop() == 0


def kill_app(one: World, app: Process) -> None:
    """SIGKILL."""
    app.kill()


def stop_edge(one: World, app: Process) -> None:
    """SIGTERM of the edge, and a new one for the next test."""
    assert one.edge.running.stop() == 0
    one.edge.start()


@pytest.mark.parametrize(("end", "code"), [(stop_app, 1012), (kill_app, 1014), (stop_edge, 1012)])
def test_close_code(one: World, end: Callable[[World, Process], None], code: int, row: Row) -> None:
    """Each end has a code of its own, and a reason."""
    app = one.app(direct=True)
    with open_echo(one) as echo:
        end(one, app)
        with pytest.raises(ConnectionClosed) as closed:
            echo.recv(timeout=20)
        assert closed.value.rcvd is not None, "a bare 1006"
        assert (closed.value.rcvd.code, bool(closed.value.rcvd.reason)) == (code, True)
    if app.is_alive():
        assert app.stop() == 0
    row(f"{end.__name__.replace('_', ' ')} with a WebSocket open", code=code)


def test_messages_before_a_stop(one: World, row: Row) -> None:
    """What a visitor was told has arrived, reaches an app that is stopped meanwhile."""
    app = one.app()
    one.proxy.delay = 0.05
    try:
        sock = socket.create_connection(("127.0.0.1", one.edge.port), timeout=20)
        with connect(f"ws://{HOSTNAME}/listen", sock=sock, ping_interval=None) as visitor:
            for number in range(3):
                visitor.send(f"m{number}")
            visitor.close(1000)
            assert visitor.close_code == 1000
        app.popen.send_signal(signal.SIGTERM)
        assert app.popen.wait(20) == 0
    finally:
        one.proxy.delay = 0.0
    heard = [line for line in app.output.splitlines() if line.startswith(("heard", "closed"))]
    assert heard == ["heard m0", "heard m1", "heard m2", "closed 1000"]
    row("SIGTERM 50 ms behind three messages and a close", delivered=len(heard))


def test_uploads_before_a_stop(one: World, row: Row) -> None:
    """A request that was complete before the app was stopped is answered, its body whole."""
    app = one.app()
    one.proxy.delay = 0.05
    try:
        connection = one.place.connect()
        connection.request("POST", "/upload", bytes(100_000), headers={"Host": HOSTNAME})
        app.popen.send_signal(signal.SIGTERM)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        assert app.popen.wait(20) == 0
    finally:
        one.proxy.delay = 0.0
    assert (response.status, b"100000" in answer) == (200, True), answer
    row("SIGTERM 50 ms behind an upload", status=response.status)


def test_second_signal(one: World, row: Row) -> None:
    """The first SIGTERM lets a slow request finish, the second one ends the app now."""
    app = one.app("--grace", "30", direct=True)
    connection = one.place.connect()
    connection.request("GET", "/hello?wait=30", headers={"Host": HOSTNAME})
    assert one.place.get("/hello")[0] == 200  # the slow one has come before it
    app.popen.send_signal(signal.SIGTERM)
    app.wait_for("SIGTERM: stopping")  # before that the kernel makes one of two signals
    time.sleep(2 * SAME)
    assert app.is_alive()
    began = time.monotonic()
    app.stop()
    took = time.monotonic() - began
    connection.close()
    assert took < min(allowed(4, began), 20)
    row("second SIGTERM with a request in progress", ended_after=f"{took:.1f} s")
