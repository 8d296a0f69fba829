from __future__ import annotations

import fcntl
import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, edge_command, wait_until

from asgi_tunnel_edge.observers import log_handler
from asgi_tunnel_edge.observers.log_handler import LogHandler, Repeats

HERE = ("file.py", 1)


def test_equal_lines_are_summed_up() -> None:
    """A line is written once, and once a minute with the count while it goes on."""
    repeats = Repeats()
    taken = [repeats.take("wrong token", HERE, number / 50) for number in range(3000)]
    assert taken.count(True) == 1
    assert repeats.take("another", HERE, 59.0)
    assert repeats.due(59.9) == []
    assert repeats.due(60.1) == ["wrong token (2,999 more times in a minute)"]
    assert not repeats.take("wrong token", HERE, 61.0)
    assert repeats.due(121.0) == ["wrong token (1 more time in a minute)"]
    assert repeats.due(200.0) == []
    assert repeats.take("wrong token", HERE, 201.0)


def test_count_that_is_late_says_so() -> None:
    """When the thread could not write for long, the count names the time that it stands for."""
    repeats = Repeats()
    assert [repeats.take("again", HERE, 0.0) for _ in range(3)] == [True, False, False]
    assert repeats.due(300.0) == ["again (2 more times in 5 minutes)"]


def test_different_lines_of_one_statement_are_bounded() -> None:
    """A flood of lines that differ is cut and counted, and no other statement is touched by it."""
    repeats = Repeats()
    taken = [repeats.take(f"from {number}", HERE, 0.0) for number in range(5000)]
    assert taken.count(True) == log_handler.MAX_ALIKE
    assert repeats.take("listening", ("file.py", 2), 1.0)
    assert repeats.due(60.5) == ["from 4999 (4,700 more lines in a minute like it)"]
    assert repeats.take("from 9999", HERE, 61.0)


def test_remembered_lines_are_bounded() -> None:
    """What is kept of lines does not grow with their number or their size."""
    repeats = Repeats()
    for number in range(5000):
        repeats.take(f"{number} {'x' * 5000}", ("file.py", number // 100), 0.0)
    assert len(repeats._lines) == log_handler.MAX_REMEMBERED
    assert max(len(one.text) for one in repeats._lines.values()) <= 400


@contextmanager
def running(handle: int) -> Iterator[tuple[logging.Logger, LogHandler]]:
    """A logger of its own with a handler that writes to this file descriptor."""
    logger = logging.getLogger("asgi_tunnel_edge.test")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = LogHandler(handle)
    handler.start()
    logger.addHandler(handler)
    try:
        yield logger, handler
    finally:
        logger.removeHandler(handler)
        handler.close()


def test_all_is_written_at_the_end(tmp_path: Path) -> None:
    """Lines, counts and whole tracebacks are there when the handler is closed."""
    path = tmp_path / "log"
    with path.open("wb") as file, running(file.fileno()) as (logger, _):
        for number in range(250):
            logger.info("line %d", number)
        for _ in range(5):
            logger.warning("café \udcff")
        try:
            raise ValueError("a defect")
        except ValueError:
            logger.exception("it failed")
        logger.info("%d", "no number")
    lines = path.read_text("utf-8").splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{stamp} INFO asgi_tunnel_edge\.test: line 0", lines[0])
    assert sum(" line " in line for line in lines[:250]) == 250
    assert lines[250].endswith("WARNING asgi_tunnel_edge.test: café \\udcff")
    assert "Traceback (most recent call last):" in lines
    assert "ValueError: a defect" in lines
    assert "a log line cannot be formatted" in lines[-2]
    assert lines[-1].endswith("café \\udcff (4 more times in a minute)")


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes nothing more: the end to read, and the end to write."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def drained(reading: int, *, until: bytes) -> bytes:
    """What a pipe holds, up to and with these bytes."""
    data = b""
    while until not in data:
        data += os.read(reading, 65536)
    return data


def test_pipe_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """T61: logging never waits for a reader; what has no room is counted, and closing ends."""
    monkeypatch.setattr(log_handler, "STOP_TIMEOUT", 0.1)
    monkeypatch.setattr(log_handler, "MAX_WAITING", 10_000)
    monkeypatch.setattr(log_handler, "MAX_ALIKE", 10**6)
    with full_pipe() as (reading, writing), running(writing) as (logger, handler):
        start = time.monotonic()
        for number in range(5000):
            logger.warning("line %d", number)
        handler.close()
        assert time.monotonic() - start < 2.0
        assert handler._waiting <= 10_000
        data = drained(reading, until=b"read standard error\n")
        handler._thread.join(5)
    assert b"line 0\n" in data
    assert re.search(rb"WARNING asgi_tunnel_edge.observers: 4,\d\d\d log lines were left out", data)


def test_pipe_that_another_process_made_non_blocking() -> None:
    """A full pipe in non-blocking mode loses nothing either."""
    with full_pipe() as (reading, writing):
        os.set_blocking(writing, False)
        with running(writing) as (logger, handler):
            logger.info("patience")
            wait_until(handler._queue.empty, what="the thread has the line")
            assert b"patience" in drained(reading, until=b"patience\n")


CRASH = """
import gc, logging, sys, threading, warnings
from asgi_tunnel_edge.observers.log_handler import logging_to_stderr

class Broken:
    def __del__(self):
        raise ValueError("in a destructor")

def fail():
    raise ValueError("in a thread")

with logging_to_stderr():
    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    Broken()
    logging.getLogger("asyncio").error("an exception in a callback")
    logging.getLogger("other").info("chatter")
    warnings.warn("old")
    raise KeyError("the crash")
"""


def test_crashes_reach_stderr() -> None:
    """Tracebacks of the process, of its threads and destructors, and other loggers' warnings."""
    done = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    for text in (
        "ERROR asgi_tunnel_edge.observers: an exception ended the thread worker",
        "ValueError: in a thread",
        "ValueError: in a destructor",
        "ERROR asyncio: an exception in a callback",
        "UserWarning: old",
        "CRITICAL asgi_tunnel_edge.observers: the edge has crashed",
        "KeyError: 'the crash'",
    ):
        assert text in done.stderr
    assert "chatter" not in done.stderr


TUNNEL = (
    b"GET /.well-known/asgi-tunnel HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    b"Sec-WebSocket-Protocol: asgi-tunnel.v1\r\nAuthorization: Bearer wrong\r\n\r\n"
)


@contextmanager
def stuck_edge(folder: Path, output: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """An edge whose standard output and standard error are this pipe; and its port."""
    data = folder / "edge"
    where = ["--data", str(data), "--domain", "example.test", "--listen", "127.0.0.1:0"]
    edge_command("init", *where, "--tls", "off")
    run = [str(BIN / "asgi-tunnel-edge"), "run", "--data", str(data)]
    edge = subprocess.Popen(run, stdout=output, stderr=output)
    try:
        address = data / "edge.address"
        wait_until(address.exists, what="the edge listens")
        yield edge, int(address.read_text().strip().rsplit(":", 1)[1])
    finally:
        edge.kill()
        edge.wait()


@pytest.mark.e2e
def test_edge_whose_output_nobody_reads(tmp_path: Path) -> None:
    """T61: 3,000 wrong tokens with full pipes for output: visitors are served, one line is left."""
    seen: list[bytes] = []
    with full_pipe() as (reading, writing), stuck_edge(tmp_path, writing) as (edge, port):
        for _ in range(3000):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
                one.sendall(TUNNEL)
                assert one.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 429")
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as visitor:
            visitor.request("GET", "/.well-known/asgi-tunnel/health")
            assert visitor.getresponse().status == 200
        reader = threading.Thread(
            target=lambda: seen.append(drained(reading, until=b"was refused: malformed (2,"))
        )
        edge.send_signal(signal.SIGTERM)
        reader.start()
        assert edge.wait(20) == 0
        reader.join(10)
    assert seen[0].count(b"a tunnel from 127.0.0.1 was refused: malformed") == 2  # the count too


@pytest.mark.e2e
def test_edge_stops_though_nobody_reads(tmp_path: Path) -> None:
    """SIGTERM ends an edge in seconds, with its output stuck."""
    with full_pipe() as (_, writing), stuck_edge(tmp_path, writing) as (edge, _port):
        edge.send_signal(signal.SIGTERM)
        assert edge.wait(15) == 0
