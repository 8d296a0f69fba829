"""Log files that are rotated while the edge writes to them."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, edge_command, wait_until

from asgi_tunnel_edge.observers.log_file import LogFile


def test_a_renamed_file_is_left(tmp_path: Path) -> None:
    """What comes after that goes into a new one under the old name; a file that stays, stays."""
    path, old = tmp_path / "log", tmp_path / "log.1"
    file = LogFile(path)
    assert file.open()
    assert not file.open()
    os.write(file.handle, b"1\n")
    path.rename(old)
    assert file.open()
    os.write(file.handle, b"2\n")
    path.unlink()
    assert file.open()
    os.write(file.handle, b"3\n")
    file.close()
    assert (old.read_text(), path.read_text()) == ("1\n", "3\n")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def standard(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A descriptor that somebody else has opened, and its file."""
    path = tmp_path / "out"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    yield handle, path
    os.close(handle)


def test_a_standard_stream_keeps_its_number(standard: tuple[int, Path]) -> None:
    """Its file is found by the descriptor; what others write to the number follows."""
    handle, path = standard
    file = LogFile(handle=handle)
    assert not file.open()
    os.write(handle, b"1\n")
    path.rename(path.with_suffix(".1"))
    assert file.open()
    os.write(handle, b"2\n")
    file.close()
    os.write(handle, b"3\n")
    assert (path.with_suffix(".1").read_text(), path.read_text()) == ("1\n", "2\n3\n")


def test_a_standard_stream_that_cannot_be_opened_again(standard: tuple[int, Path]) -> None:
    """It goes on as it is: an edge that has given up its rights may not write to that folder."""
    handle, path = standard
    file = LogFile(handle=handle)
    path.rename(path.with_suffix(".1"))
    path.mkdir()
    assert not file.open()
    os.write(handle, b"1\n")
    assert path.with_suffix(".1").read_text() == "1\n"


def test_what_has_no_name_is_left_alone(tmp_path: Path) -> None:
    """A pipe, a terminal, a file that was removed before."""
    reading, writing = os.pipe()
    (tmp_path / "gone").touch()
    gone = os.open(tmp_path / "gone", os.O_WRONLY)
    (tmp_path / "gone").unlink()
    for handle in (writing, gone):
        file = LogFile(handle=handle)
        assert file.path is None
        assert not file.open()
    assert not list(tmp_path.iterdir())
    for handle in (reading, writing, gone):
        os.close(handle)


@contextmanager
def running(data: Path, command: list[str], stream: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs an edge, from when it listens."""
    popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        wait_until((data / "edge.address").exists, timeout=30, what="the edge listens")
        yield popen
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()


def make_edge(data: Path) -> list[str]:
    """Make an edge with an access log of its own; return the command that runs it."""
    where = ("--data", str(data), "--domain", "a.test", "--listen", "127.0.0.1:0")
    edge_command("init", *where, "--tls", "off")
    text = (data / "edge.toml").read_text()
    text = text.replace("[access_log]", '[access_log]\npath = "access.log"', 1)
    (data / "edge.toml").write_text(text)
    return [str(BIN / "asgi-tunnel-edge"), "run", "--data", str(data)]


@pytest.mark.e2e
def test_logrotate(tmp_path: Path) -> None:
    """Both logs are made anew after a rename: by SIGHUP without a line, and by themselves."""
    log, access = tmp_path / "edge.log", tmp_path / "data" / "access.log"
    command = make_edge(tmp_path / "data")
    with log.open("ab") as out, running(tmp_path / "data", command, out.fileno()) as popen:
        wait_until(lambda: "listening on" in log.read_text(), what="the first line")
        for path in (log, access):
            path.rename(path.with_suffix(".1"))
        popen.send_signal(signal.SIGHUP)
        wait_until(access.exists, what="the access log is there again")
        wait_until(log.exists, what="the log is there again")
        wait_until(lambda: is_left(popen, access.with_suffix(".1")), what="the old one is closed")
        wait_until(lambda: is_left(popen, log.with_suffix(".1")), what="the old one is closed")
        log.rename(log.with_suffix(".2"))
        wait_until(log.exists, what="the log is there again without a signal")
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(20) == 0
    assert "stopping" in log.read_text()
    assert "SIGHUP" in (tmp_path / "edge.1").read_text() + (tmp_path / "edge.2").read_text()


def is_left(popen: subprocess.Popen[bytes], path: Path) -> bool:
    """Whether a process has no descriptor of a file."""
    links = Path(f"/proc/{popen.pid}/fd").iterdir()
    return str(path) not in {str(link.readlink()) for link in links if link.is_symlink()}


@pytest.mark.e2e
def test_a_terminal_that_is_closed_ends_the_edge(tmp_path: Path) -> None:
    """SIGHUP of a window that is closed is no wish for new logs."""
    main, child = pty.openpty()
    runner = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(1, termios.TIOCSCTTY, 0); "
    runner += "os.execv(sys.argv[1], sys.argv[1:])"
    data = tmp_path / "data"
    command = [sys.executable, "-c", runner, *make_edge(data)]
    with running(data, command, child) as popen:
        os.close(child)
        popen.send_signal(signal.SIGHUP)  # while there is a terminal, it is for the logs
        wait_until(lambda: b"SIGHUP" in os.read(main, 65536), what="the logs are opened again")
        assert popen.poll() is None
        os.close(main)
        assert popen.wait(20) == 0
