"""The control socket: its place, its mode, and how it is asked."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from asgi_tunnel_edge.control import (
    CONTROL_FILE,
    ask,
    connect_control,
    open_control,
    remove_control,
)


@pytest.mark.parametrize("depth", [0, 3])
def test_a_folder_with_a_long_path(tmp_path: Path, depth: int) -> None:
    """The socket of a folder is found there, however long its path is, and only by its user."""
    folder = tmp_path.joinpath(*["a" * 60] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    sock = open_control(str(folder))
    assert sock is not None
    with sock:
        assert (folder / CONTROL_FILE).stat().st_mode & 0o777 == 0o600
        assert open_control(str(folder)) is None  # another one runs there
        connect_control(str(folder)).close()
    with pytest.raises(ConnectionRefusedError):
        connect_control(str(folder))
    again = open_control(str(folder))  # in place of one that was killed
    assert again is not None
    again.close()
    remove_control(str(folder))
    remove_control(str(folder))
    assert not list(folder.iterdir())
    with pytest.raises(FileNotFoundError):
        connect_control(str(folder))


def test_who_finds_it_can_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in its place only once it listens: a command that waits for it is not refused."""
    listen = socket.socket.listen
    is_there: list[bool] = []

    def look(self: socket.socket, backlog: int) -> None:
        is_there.append((tmp_path / CONTROL_FILE).exists())
        listen(self, backlog)

    monkeypatch.setattr(socket.socket, "listen", look)
    sock = open_control(str(tmp_path))
    assert sock is not None
    with sock:
        assert is_there == [False]
        assert [one.name for one in tmp_path.iterdir()] == [CONTROL_FILE]


@pytest.mark.parametrize("reply", [b'{"ok":true}\n', b"", b"[]\n"])
def test_ask(tmp_path: Path, reply: bytes) -> None:
    """A request and its reply; who closes, or says something else, is an error."""
    sock = open_control(str(tmp_path))
    assert sock is not None
    sock.setblocking(True)
    heard: list[bytes] = []

    def serve() -> None:
        client, _ = sock.accept()
        with client:
            heard.append(client.recv(4096))
            client.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    with sock:
        if b"ok" in reply:
            assert ask(str(tmp_path), {"command": "status"}, 10) == {"ok": True}
        else:
            with pytest.raises(ConnectionError):
                ask(str(tmp_path), {"command": "status"}, 10)
        thread.join(10)
    assert json.loads(heard[0]) == {"command": "status"}
