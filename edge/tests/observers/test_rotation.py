"""An access log that the edge rotates itself."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.harness import Edge, edge_command, wait_until

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.observers.access_log import AccessLog, Entry
from asgi_tunnel_edge.observers.rotation import Rotation
from asgi_tunnel_edge.settings.config import EdgeConfig

LINE = b'2026-11-23T08:14:07Z r 203.0.113.7 a.test "GET /" 200 5 1.0ms\n'
AT = 1_795_421_647.0  # the time in it


def files(path: Path) -> dict[str, str]:
    """The content of each file of a log, by what follows its name."""
    found: dict[str, str] = {}
    for one in list(path.parent.glob(f"{path.name}*")):
        with contextlib.suppress(FileNotFoundError):  # it is being renamed
            found[one.name.removeprefix(path.name)] = one.read_text()
    return found


def entry(number: int) -> Entry:
    """An exchange of this number."""
    target = b"/%d" % number
    return Entry(b"r1", b"192.0.2.7", b"GET", "shop.test", target, 200, 0, 0.0, "")


class Log:
    """A log with a rotation, whose thread writes each line by itself."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.log = AccessLog(path=path, rotation=Rotation(path, **settings))
        self.log.open()
        self.log.start()

    def write(self, *numbers: int) -> None:
        """Have lines written, and return when they are."""
        for number in numbers:
            self.log.closed(entry(number))
            self.log.flush()
        deadline = time.monotonic() + 10
        while self.log._waiting:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def numbers(text: str) -> list[int]:
    """The targets of lines."""
    return [int(line.split('"')[1].removeprefix("GET /")) for line in text.splitlines()]


def test_by_size(tmp_path: Path) -> None:
    """A file is renamed before it becomes too large; the oldest ones go."""
    path = tmp_path / "access.log"
    log = Log(path, max_bytes=200, keep=2)
    log.write(*range(10))
    log.log.stop()
    found = {name: numbers(text) for name, text in files(path).items()}
    assert found == {"": [9], ".1": [6, 7, 8], ".2": [3, 4, 5]}


def test_a_line_that_is_larger_than_a_file(tmp_path: Path) -> None:
    """It is written whole, into a file of its own; no empty file is renamed."""
    path = tmp_path / "access.log"
    log = Log(path, max_bytes=10, keep=9)
    log.write(1, 2)
    log.log.stop()
    assert {name: numbers(text) for name, text in files(path).items()} == {"": [2], ".1": [1]}


def test_by_age(tmp_path: Path) -> None:
    """The age is that of the first line, whoever wrote it, and whenever the edge was started."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE)
    now = [AT + 86_399.0]
    log = Log(path, max_age=86_400.0, wall=lambda: now[0])
    log.write(1)
    assert list(files(path)) == [""]
    now[0] += 1.0
    log.write(2)
    log.log.stop()
    assert numbers(files(path)[""]) == [2]
    assert files(path)[".1"].startswith(LINE.decode())


def test_a_file_without_a_time(tmp_path: Path) -> None:
    """It is as old as the edge's first look at it."""
    path = tmp_path / "access.log"
    path.write_text("something else\n")
    now = [1000.0]
    rotation = Rotation(path, max_age=10.0, wall=lambda: now[0])
    with path.open("ab") as file:
        assert not rotation.is_due(file.fileno(), 1)
        now[0] += 10.0
        assert rotation.is_due(file.fileno(), 1)


def test_fewer_are_kept_than_before(tmp_path: Path) -> None:
    """Those above the number go; what has another name is not ours."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE)
    for name in ("1", "2", "3", "9", "3.gz", "old", "07"):
        path.with_name(f"access.log.{name}").write_text(name)
    with path.open("ab") as file:
        assert Rotation(path, max_bytes=1, keep=2).rotate(file.fileno(), 1)
    found = files(path)
    assert found.pop(".1") == LINE.decode()
    assert found == {".2": "1", ".3.gz": "3.gz", ".old": "old", ".07": "07"}


def test_a_process_that_died_in_the_middle(tmp_path: Path) -> None:
    """A number that is not used is used again before anything is removed."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE)
    for number in (2, 3):
        path.with_name(f"access.log.{number}").write_text(str(number))
    with path.open("ab") as file:
        assert Rotation(path, max_bytes=1, keep=3).rotate(file.fileno(), 1)
    assert files(path) == {".1": LINE.decode(), ".2": "2", ".3": "3"}


def test_who_writes_is_waited_for(tmp_path: Path) -> None:
    """Another process holds the file while it writes: nobody renames it then, or twice."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE)
    one, other = (Rotation(path, max_bytes=1) for _ in range(2))
    with path.open("ab") as first, path.open("ab") as second:
        with one.writing(first.fileno()) as is_named:
            assert is_named
            assert not other.rotate(second.fileno(), 1)
        assert other.rotate(second.fileno(), 1)
        path.write_bytes(LINE)
        assert not one.rotate(first.fileno(), 1)
        with one.writing(first.fileno()) as is_named:
            assert not is_named


def test_a_folder_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log goes on in the file that there is, and says why it is not renamed."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE)
    (tmp_path / "access.log.1" / "in the way").mkdir(parents=True)
    log = Log(path, max_bytes=10, keep=1)
    log.write(1, 2)
    log.log.stop()
    assert len(path.read_text().splitlines()) == 3
    assert f"{path} cannot be rotated" in caplog.text


WRITER = """
import sys, time
from pathlib import Path
from asgi_tunnel_edge.observers.access_log import AccessLog, Entry
from asgi_tunnel_edge.observers.rotation import Rotation

path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
log = AccessLog(path=path, rotation=Rotation(path, max_bytes=6000, keep=10_000))
log.open()
log.start()
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + count):
    target = b"/%d" % number
    log.closed(Entry(b"r1", b"192.0.2.7", b"GET", "shop.test", target, 200, 0, 0.0, ""))
    if number % 3 == 0:
        log.flush()
    if number % 30 == 0:
        time.sleep(0.001)
log.stop(timeout=30.0)
"""


@pytest.mark.parametrize("setting", ["rotate_bytes", "rotate_after"])
def test_standard_output_is_not_rotated(tmp_path: Path, setting: str) -> None:
    """The edge says so at its start."""
    table = {"domain": "a.test", "listen": "127.0.0.1:0", "access_log": {setting: 1000}}
    with pytest.raises(EdgeConfigError, match=f"access_log.{setting}: is set, and the access log"):
        EdgeConfig.from_table(table, tmp_path)


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    """As during a reload: both write and rotate, and each line is there, whole, and once."""
    path, count = tmp_path / "access.log", 4000
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(part * count), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for part in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.communicate(b"go\n", timeout=30)
        assert writer.returncode == 0
    found = files(path)
    assert len(found) > 20
    assert max(len(text) for text in found.values()) < 12_000
    written = Counter(number for text in found.values() for number in numbers(text))
    assert written == Counter(range(2 * count))


HEALTH = "/.well-known/asgi-tunnel/health?"


class Visitor(threading.Thread):
    """Asks for the edge's health page until it is told to end; each time with another query."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.asked = 0
        self.is_over = threading.Event()
        self._port = port

    def run(self) -> None:
        """Three requests a connection, so that some are with each process."""
        while not self.is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            for _ in range(3):
                connection.request("GET", f"{HEALTH}{self.asked}")
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                self.asked += 1
                if response.will_close:
                    break
            connection.close()


@pytest.mark.e2e
def test_a_reload_under_load(tmp_path: Path) -> None:
    """The old process and the new one write to one log and rotate it: each request has a line."""
    folder = tmp_path / "edge"
    where = ("--data", str(folder), "--domain", "a.test", "--listen", "127.0.0.1:0")
    edge_command("init", *where, "--tls", "off")
    lines = '[access_log]\npath = "access.log"\nrotate_bytes = 2000\nkeep = 10000'
    toml = folder / "edge.toml"
    toml.write_text(toml.read_text().replace("[access_log]", lines, 1))
    log = folder / "access.log"
    edge = Edge(folder)
    edge.start()
    visitor = Visitor(edge.port)
    try:
        visitor.start()
        # A look of the log takes all lines since the one before: files follow looks, not requests.
        wait_until(lambda: len(files(log)) > 2, what="the log is rotated")
        edge.command("reload")
        before = len(files(log))
        wait_until(lambda: len(files(log)) > before + 1, what="it is rotated on")
        visitor.is_over.set()
        visitor.join(20)
    finally:
        visitor.is_over.set()
        edge.stop()
    found = files(log)
    targets = [line.split('"')[1] for text in found.values() for line in text.splitlines()]
    assert Counter(targets) == Counter(f"GET {HEALTH}{one}" for one in range(visitor.asked))
