"""Visitors that know what they must get: each byte, each event, each echo, and in which order."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.sync.client import connect

from .app import PIECE, piece

TIMEOUT = 60.0
"""Seconds without a byte until a visitor calls a transfer dead: longer than the resume window."""

RETRY_WAIT = 2.0
"""Seconds before a refused connect is tried once more (``curl --retry 1 --retry-connrefused
--retry-delay 2``): the process of an edge takes 0.6 to 1.5 s to start."""

MAX_TRIES = 10
"""Connects of a visitor while a loaded machine starts an edge for longer than that."""

Address = tuple[str, int]


@dataclass
class Place:
    """Where visitors go."""

    port: int
    hostname: str
    host: str = "127.0.0.1"

    def connect(self, timeout: float = TIMEOUT) -> http.client.HTTPConnection:
        """Return a connection that is made by its first request."""
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def get(self, path: str, *, timeout: float = TIMEOUT) -> tuple[int, bytes]:
        """GET once, on a connection of its own; return status and body."""
        return self._ask("GET", path, timeout)

    def post(self, path: str, *, timeout: float = TIMEOUT) -> tuple[int, bytes]:
        """POST once, with a short body, on a connection of its own."""
        return self._ask("POST", path, timeout, b"x")

    def json(self, path: str) -> Any:
        """GET and decode."""
        return json.loads(self.get(path)[1])

    def _ask(
        self, method: str, path: str, timeout: float, body: bytes | None = None
    ) -> tuple[int, bytes]:
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, {"Host": self.hostname})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def expected_digest(pieces: int) -> str:
    """Return the sha256 of the app's body of so many pieces."""
    digest = hashlib.sha256()
    for number in range(pieces):
        digest.update(piece(number))
    return digest.hexdigest()


def download(place: Place, pieces: int, progress: Callable[[int], None] = lambda size: None) -> str:
    """Read a long answer; return its sha256."""
    connection = place.connect()
    try:
        connection.request("GET", f"/download?pieces={pieces}", headers={"Host": place.hostname})
        answer = connection.getresponse()
        assert answer.status == 200, (answer.status, answer.read())
        digest = hashlib.sha256()
        while data := answer.read(PIECE):
            digest.update(data)
            progress(len(data))
        return digest.hexdigest()
    finally:
        connection.close()


def upload(place: Place, pieces: int, progress: Callable[[int], None] = lambda size: None) -> str:
    """Send a long body; return the sha256 that the app has computed."""

    def body() -> Iterator[bytes]:
        for number in range(pieces):
            yield piece(number)
            progress(PIECE)

    connection = place.connect()
    try:
        fields = {"Host": place.hostname, "Content-Length": str(pieces * PIECE)}
        connection.request("POST", "/upload", body(), fields)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, (answer.status, text)
        size, _, digest = text.partition(" ")
        assert int(size) == pieces * PIECE
        return digest
    finally:
        connection.close()


def events(place: Place, count: int, every: float) -> list[int]:
    """Read an event stream to its end; return the numbers in their order."""
    connection = place.connect()
    try:
        path = f"/events?count={count}&every={every}"
        connection.request("GET", path, headers={"Host": place.hostname})
        answer = connection.getresponse()
        assert answer.status == 200
        found = []
        while line := answer.readline():
            if line.startswith(b"data: "):
                found.append(int(line[6:]))
        return found
    finally:
        connection.close()


def echo(place: Place, is_over: threading.Event) -> int:
    """Exchange numbered messages until told to stop; return how many came back, each once."""
    count = 0
    sock = socket.create_connection((place.host, place.port), timeout=TIMEOUT)
    with connect(f"ws://{place.hostname}/echo", sock=sock, ping_interval=None) as socket_:
        while not is_over.is_set():
            for number in range(count, count + 4):  # more than one on its way at a time
                socket_.send(str(number))
            for number in range(count, count + 4):
                assert socket_.recv(timeout=TIMEOUT) == str(number)
            count += 4
            time.sleep(0.005)
    return count


def echo_some(place: Place, count: int) -> int:
    """Exchange numbered messages and close; return how many came back.

    Raises:
        ConnectionClosed: The other side has ended it; says how.
    """
    sock = socket.create_connection((place.host, place.port), timeout=TIMEOUT)
    with connect(f"ws://{place.hostname}/echo", sock=sock, ping_interval=None) as socket_:
        for number in range(count):
            socket_.send(str(number))
            assert socket_.recv(timeout=TIMEOUT) == str(number)
            time.sleep(0.005)
    return count


@dataclass
class Traffic:
    """A download, an upload, an event stream and an echo at the same time."""

    place: Place
    pieces: int
    count: int  # events
    every: float  # seconds between two events
    moved: int = 0  # bytes of both transfers
    echoes: int = 0
    errors: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start all four."""
        digest = expected_digest(self.pieces)
        self._spawn(lambda: self._same(download(self.place, self.pieces, self._add), digest))
        self._spawn(lambda: self._same(upload(self.place, self.pieces, self._add), digest))
        numbers = list(range(self.count))
        self._spawn(lambda: self._same(events(self.place, self.count, self.every), numbers))
        echo_thread = self._spawn(self._echo)
        self._ended = [one for one in self._threads if one is not echo_thread]

    def wait_moved(self, size: int, timeout: float = 30.0) -> None:
        """Return when so many bytes of the transfers have been moved."""
        deadline = time.monotonic() + timeout
        while self.moved < size and not self.errors:
            assert time.monotonic() < deadline, f"only {self.moved} bytes moved"
            time.sleep(0.002)

    @property
    def is_running(self) -> bool:
        """Whether a transfer or the events are not complete."""
        return any(one.is_alive() for one in self._ended)

    def finish(self, timeout: float = 90.0) -> None:
        """Wait for all; fail when anything was wrong."""
        deadline = time.monotonic() + timeout
        for one in self._ended:
            one.join(max(deadline - time.monotonic(), 0.0))
        self._is_over.set()
        for one in self._threads:
            one.join(max(deadline - time.monotonic(), 1.0))
        assert not self.errors, self.errors
        assert not any(one.is_alive() for one in self._threads), "still running"
        assert self.echoes > 0

    def _echo(self) -> None:
        self.echoes = echo(self.place, self._is_over)

    def _add(self, size: int) -> None:
        with self._lock:
            self.moved += size

    def _same(self, found: object, expected: object) -> None:
        if found != expected:
            self.errors.append(f"{str(found)[:200]} instead of {str(expected)[:200]}")

    def _spawn(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a thread's outer edge; the test reports it
                self.errors.append(repr(error))

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread


class Load:
    """GETs at a steady rate, on kept connections, until stopped.

    Args:
        place: Where.
        rate: Requests a second, of all threads.
        threads: Visitors at the same time.
        method: "GET", or "MIXED" for a POST after each GET.

    Each visitor does what browsers and HTTP libraries do: a kept connection that has gone before a
    byte of the response is replaced once, and a refused connect is tried once more. More tries are
    counted, for the test to judge: nobody can be served while there is no edge.
    """

    def __init__(
        self, place: Place, *, rate: float = 100.0, threads: int = 8, path: str = "/hello"
    ) -> None:
        self.place = place
        self.path = path
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self.reconnects = 0
        self.refused_again = 0  # connects that were refused more than once
        self.slowest = 0.0
        self.log: list[tuple[float, float, int]] = []  # start, seconds, status
        self._every = threads / rate
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    @property
    def total(self) -> int:
        """Requests so far."""
        return sum(self.statuses.values()) + len(self.failures)

    @property
    def failed(self) -> int:
        """Requests that were not answered 200."""
        return self.total - self.statuses[200]

    def start(self) -> None:
        """Start."""
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """Finish the requests in progress."""
        self._is_over.set()
        for one in self._threads:
            one.join(TIMEOUT + 10)

    def _run(self) -> None:
        connection = self.place.connect()
        due = time.monotonic()
        while not self._is_over.is_set():
            began = time.monotonic()
            try:
                status = self._get(connection)
                self.statuses[status] += 1
            except Exception as error:  # noqa: BLE001 - counted as a failure, whatever it is
                status = 0
                self.failures.append(repr(error))
                connection.close()
            took = time.monotonic() - began
            self.log.append((began, took, status))
            self.slowest = max(self.slowest, took)
            due = max(due + self._every, time.monotonic() - 1.0)
            self._is_over.wait(max(due - time.monotonic(), 0.0))
        connection.close()

    def _get(self, connection: http.client.HTTPConnection) -> int:
        is_kept = connection.sock is not None
        refused = 0
        while True:
            try:
                return self._once(connection)
            except ConnectionRefusedError:
                refused += 1
                self.refused_again += refused == 2
                if refused == MAX_TRIES:
                    raise
                time.sleep(RETRY_WAIT)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not is_kept:
                    raise
                is_kept = False
            connection.close()
            self.reconnects += 1

    def _once(self, connection: http.client.HTTPConnection) -> int:
        connection.request("GET", self.path, headers={"Host": self.place.hostname})
        answer = connection.getresponse()
        answer.read()
        return answer.status


@contextmanager
def load(place: Place, **options: Any) -> Iterator[Load]:
    """GETs while the block lasts."""
    one = Load(place, **options)
    one.start()
    try:
        yield one
    finally:
        one.stop()
