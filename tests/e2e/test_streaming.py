"""Streams stream, both ways, and hold back whoever is faster than the other side."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .harness import Edge, Process, allowed, running_app, running_edge, wait_until
from .visitor import TIMEOUT, Visitor, ask_json, blocks, figure, visiting

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024

APPS = Path(__file__).parent

PEAK = 150 * MIB
"""Resident bytes that edge and app may reach while a GiB passes."""

HELD = 12 * MIB
"""Bytes that may be on their way to somebody who takes none: outbox, window, socket buffers."""

BUFFER = 64 * 1024
"""Socket buffers of a visitor that stalls: the kernel's own may grow to tens of MiB."""

STRICT = "strict.example.test"
"""Where the same app runs with ``--spec-version 2.4``."""


class Stage:
    """A running edge, and the process of an app behind it."""

    def __init__(self, edge: Edge, app: Process, hostname: str = "shop.example.test") -> None:
        self.edge = edge
        self.app = app
        self.hostname = hostname

    @property
    def processes(self) -> tuple[Process, Process]:
        """Both, for a look at their memory."""
        return self.edge.running, self.app

    def seen(self, key: str) -> dict[str, Any]:
        """Return what the app saw in the last call with ``key``."""
        found = ask_json(self.edge, f"/seen/{key}", hostname=self.hostname)
        assert isinstance(found, dict)
        return found

    def accepted(self, key: str) -> int:
        """Return the bytes that ``send()`` has taken in the call with ``key``."""
        return int(self.seen(key).get("accepted", 0))

    def settled(self, key: str) -> int:
        """Return the bytes that ``send()`` has taken once they no longer grow."""
        count = -1
        deadline = time.monotonic() + 15
        while count != (count := self.accepted(key)) or not count:
            assert time.monotonic() < deadline, f"still growing at {count} bytes"
            time.sleep(0.5)
        return count


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Start an edge and the streaming app."""
    with running_edge(folder) as edge:
        token = edge.create_token("shop")
        with running_app(folder, token, "apps_streaming:app", app_dir=APPS) as app:
            yield Stage(edge, app)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One edge and one app for the tests that do not look at memory."""
    with stage(tmp_path_factory.mktemp("streaming")) as found:
        yield found


@pytest.fixture(scope="module")
def strict(shared: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The same edge, where a second process of the app raises on sends after a disconnect."""
    token = shared.edge.create_token("strict")
    folder = tmp_path_factory.mktemp("strict")
    options = ("--spec-version", "2.4")
    with running_app(folder, token, "apps_streaming:app", *options, app_dir=APPS) as app:
        yield Stage(shared.edge, app, STRICT)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stage]:
    """Processes whose peak of memory is this test's own."""
    with stage(tmp_path) as found:
        yield found


# -- bulk ------------------------------------------------------------------------------------

SIZES = [
    pytest.param(128 * MIB, id="128MiB"),
    pytest.param(1024 * MIB, id="1GiB", marks=[pytest.mark.faults_long, pytest.mark.timeout(120)]),
]


def report(what: str, size: int, started: float, found: Stage) -> None:
    """Report the figures of a bulk transfer and check the peak of memory."""
    rate = size / (time.monotonic() - started) / 1e6
    peaks = [one.peak_rss() for one in found.processes]
    edge, app = (peak / MIB for peak in peaks)
    figure(f"{what}: {rate:.0f} MB/s, peak {edge:.0f} MiB edge, {app:.0f} MiB app")
    assert max(peaks) < PEAK, f"peaks of {edge:.0f} and {app:.0f} MiB"


@pytest.mark.parametrize("size", SIZES)
def test_download_is_whole_and_memory_flat(fresh: Stage, size: int) -> None:
    """A download of any size arrives byte for byte; edge and app stay below 150 MiB."""
    digest = hashlib.sha256()
    with visiting(fresh.edge) as visitor:
        started = time.monotonic()
        visitor.ask(f"/download/bulk?length=1&size={size}")
        assert visitor.read_head().get("content-length") == str(size)
        for piece in visitor.read_pieces(size):
            digest.update(piece)
        report("down", size, started, fresh)
    wait_until(lambda: "sha256" in fresh.seen("bulk"))
    assert digest.hexdigest() == fresh.seen("bulk")["sha256"]


@pytest.mark.parametrize("size", SIZES)
def test_upload_is_whole_and_memory_flat(fresh: Stage, size: int) -> None:
    """An upload of any size arrives byte for byte; edge and app stay below 150 MiB."""
    digest = hashlib.sha256()
    with visiting(fresh.edge) as visitor:
        started = time.monotonic()
        visitor.ask("/upload/bulk", ("Content-Length", str(size)), method="POST")
        for block in blocks(size):
            digest.update(block)
            visitor.sock.sendall(block)
        body = visitor.read_body(visitor.read_head())
        report("up", size, started, fresh)
    assert json.loads(body) == {"sha256": digest.hexdigest(), "size": size}


def test_chunked_bodies_are_whole_both_ways(shared: Stage) -> None:
    """Bodies of unknown length arrive byte for byte, in odd chunks up and chunked down."""
    size = 8 * MIB
    digest = hashlib.sha256()
    with visiting(shared.edge) as visitor:
        visitor.ask("/upload/chunked", ("Transfer-Encoding", "chunked"), method="POST")
        for block in blocks(size, block=65521):
            digest.update(block)
            visitor.send_chunk(block)
        visitor.send_chunk(b"")
        body = visitor.read_body(visitor.read_head())
        assert json.loads(body) == {"sha256": digest.hexdigest(), "size": size}

        visitor.ask(f"/download/chunked?size={size}")
        head = visitor.read_head()
        assert head.get("transfer-encoding") == "chunked"
        down = hashlib.sha256(visitor.read_body(head)).hexdigest()
    wait_until(lambda: shared.seen("chunked").get("sha256") == down)


# -- backpressure ----------------------------------------------------------------------------


def test_visitor_that_reads_nothing_stops_the_app(fresh: Stage) -> None:
    """``await send()`` holds the app while nobody reads; then every byte arrives."""
    size = 64 * MIB
    before = [one.rss() for one in fresh.processes]
    with visiting(fresh.edge, buffer=BUFFER) as visitor:
        visitor.ask(f"/download/slow?length=1&size={size}")
        held = fresh.settled("slow")
        growth = [one.rss() - old for one, old in zip(fresh.processes, before, strict=True)]
        figure(f"slow reader: {held / MIB:.1f} MiB accepted, growth {in_mib(growth)} MiB")
        assert held < HELD
        assert max(growth) < 32 * MIB
        visitor.read_head()
        digest = hashlib.sha256()
        for piece in visitor.read_pieces(size):
            digest.update(piece)
    wait_until(lambda: fresh.seen("slow").get("sha256") == digest.hexdigest())
    assert max(one.peak_rss() for one in fresh.processes) < PEAK


def test_stalled_visitors_cost_little_and_stop_nobody(fresh: Stage) -> None:
    """200 stalled downloads of 256 MiB cost 64 MiB at most; a small GET passes them by."""
    with visiting(fresh.edge) as bystander, ExitStack() as stack:
        bystander.ask("/small")
        bystander.read_body(bystander.read_head())
        before = [one.rss() for one in fresh.processes]
        for _ in range(200):
            visitor = stack.enter_context(visiting(fresh.edge, buffer=BUFFER))
            visitor.ask(f"/stalled?size={256 * MIB}")
        held = fresh.settled("stalled")
        times = []
        began = time.monotonic()
        for _ in range(10):
            started = time.monotonic()
            bystander.ask("/small")
            assert bystander.read_body(bystander.read_head()) == b'"small"'
            times.append(time.monotonic() - started)
        growth = [one.peak_rss() - old for one, old in zip(fresh.processes, before, strict=True)]
        figure(
            f"200 stalled: {held / MIB:.0f} MiB accepted, growth {in_mib(growth)} MiB, "
            f"small GET at most {max(times) * 1000:.1f} ms"
        )
    assert max(times) < allowed(0.5, began)
    assert max(growth) <= 64 * MIB


def test_app_that_receives_nothing_stops_the_visitor(fresh: Stage) -> None:
    """An upload stands still while the app does not receive it; then every byte arrives."""
    size = 64 * MIB
    before = [one.rss() for one in fresh.processes]
    digest = hashlib.sha256()
    with visiting(fresh.edge, buffer=BUFFER) as visitor:
        visitor.ask("/deaf/deaf", ("Content-Length", str(size)), method="POST")
        source = blocks(size)
        sent, rest = send_until_stuck(visitor, source, digest)
        growth = [one.rss() - old for one, old in zip(fresh.processes, before, strict=True)]
        figure(f"deaf app: {sent / MIB:.1f} MiB taken, growth {in_mib(growth)} MiB")
        assert sent < HELD
        assert max(growth) < 32 * MIB
        ask_json(fresh.edge, "/go/deaf")
        visitor.sock.sendall(rest)
        for block in source:
            digest.update(block)
            visitor.sock.sendall(block)
        body = visitor.read_body(visitor.read_head())
    assert json.loads(body) == {"sha256": digest.hexdigest(), "size": size}


def send_until_stuck(
    visitor: Visitor, source: Iterator[bytes], digest: hashlib._Hash
) -> tuple[int, bytes]:
    """Send until nothing is taken for a second; return the bytes sent and the block's rest."""
    sent = 0
    visitor.sock.settimeout(1.0)
    try:
        for block in source:
            digest.update(block)
            view = memoryview(block)
            while view:
                try:
                    count = visitor.sock.send(view)
                except TimeoutError:
                    return sent, bytes(view)
                sent += count
                view = view[count:]
    finally:
        visitor.sock.settimeout(TIMEOUT)
    raise AssertionError("the whole body was taken")


def in_mib(sizes: list[int]) -> str:
    """Return bytes of edge and app as text."""
    return " + ".join(f"{size / MIB:.1f}" for size in sizes)


# -- promptness ------------------------------------------------------------------------------


def test_events_arrive_when_they_are_sent(shared: Stage) -> None:
    """The head comes before the first event, and each event within 0.3 s of its sending."""
    delays = []
    began = time.monotonic()
    with visiting(shared.edge) as visitor:
        visitor.ask("/events/sse?count=20&interval=0.05")
        visitor.read_head()
        ask_json(shared.edge, "/go/sse")
        for _ in range(20):
            event = visitor.read_chunk()
            delays.append(time.monotonic() - float(event.removeprefix(b"data: ")))
        assert visitor.read_chunk() == b""
    figure(f"events: at most {max(delays) * 1000:.1f} ms late")
    assert max(delays) < allowed(0.3, began)


def test_full_duplex(shared: Stage) -> None:
    """A response streams while its request is being sent: 300 chunks go in lock step."""
    with visiting(shared.edge) as visitor:
        visitor.ask("/echo", ("Transfer-Encoding", "chunked"), method="POST")
        visitor.read_head()
        for number, block in enumerate(blocks(300 * 1000, block=1000)):
            data = block[: 1 + number * 3]
            visitor.send_chunk(data)
            assert visitor.read_chunk() == data
        visitor.send_chunk(b"")
        assert visitor.read_chunk() == b""


# -- disconnects -----------------------------------------------------------------------------

LATE = {"shop.example.test": [None] * 3, STRICT: ["ClientDisconnectedError"] * 3}
"""What three sends after the disconnect do."""


@pytest.fixture(params=["shared", "strict"])
def either(request: pytest.FixtureRequest) -> Stage:
    """The app with ASGI 2.3 and with 2.4."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Stage)
    return found


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
def test_idle_answer_hears_that_the_visitor_left(either: Stage, reset: bool) -> None:
    """``http.disconnect`` ends an idle event stream within a second."""
    with visiting(either.edge, either.hostname) as visitor:
        visitor.ask("/idle/idle")
        visitor.read_head()
        visitor.read_chunk()
        check_leaving(either, visitor, "idle", reset=reset)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
def test_upload_hears_that_the_visitor_left(either: Stage, reset: bool) -> None:
    """``http.disconnect`` ends an upload within a second; it never looks complete."""
    body = bytes(100_000)
    with visiting(either.edge, either.hostname) as visitor:
        visitor.ask("/take/up", ("Content-Length", "1000000"), method="POST", body=body)
        wait_until(lambda: either.seen("up").get("received") == len(body))
        seen = check_leaving(either, visitor, "up", reset=reset)
    assert seen["received"] == len(body)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
def test_upload_held_back_hears_it_on_the_next_receive(shared: Stage, reset: bool) -> None:
    """An app that receives late hears that its visitor left inside the upload, not an end."""
    key = f"late{reset}"
    with visiting(shared.edge, buffer=BUFFER) as visitor:
        visitor.ask(f"/deaf/{key}", ("Content-Length", str(64 * MIB)), method="POST")
        send_until_stuck(visitor, blocks(64 * MIB), hashlib.sha256())
        visitor.leave(reset=reset)
    ask_json(shared.edge, f"/go/{key}")
    wait_until(lambda: "ended" in shared.seen(key), timeout=5)
    assert "disconnected" in shared.seen(key)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
@pytest.mark.parametrize("stalls", [False, True], ids=["reading", "stalled"])
def test_download_hears_that_the_visitor_left(either: Stage, reset: bool, stalls: bool) -> None:
    """``http.disconnect`` ends a download within a second, and frees a waiting ``send()``."""
    with visiting(either.edge, either.hostname, buffer=BUFFER) as visitor:
        visitor.ask("/pour/down")
        visitor.read_head()
        if stalls:
            either.settled("down")
        else:
            for _ in range(50):
                visitor.read_chunk()
        check_leaving(either, visitor, "down", reset=reset)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_app_that_never_listens_stops_nobody_else(shared: Stage, method: str) -> None:
    """An app that sends on and on, to nobody or to a HEAD, leaves the loop to other requests."""
    with visiting(shared.edge) as visitor:
        visitor.ask(f"/babble/{method}", method=method)
        visitor.read_head()
    for _ in range(20):
        started = time.monotonic()
        assert ask_json(shared.edge, "/small") == "small"
        assert time.monotonic() - started < allowed(1.0, started)
    ask_json(shared.edge, f"/go/{method}")
    wait_until(lambda: "ended" in shared.seen(method), timeout=5)


def check_leaving(found: Stage, visitor: Visitor, key: str, *, reset: bool) -> dict[str, Any]:
    """Leave, and check when and how the app hears of it."""
    left = time.monotonic()
    visitor.leave(reset=reset)
    wait_until(lambda: "ended" in found.seen(key), timeout=5, what="the app's task has not ended")
    seen = found.seen(key)
    delay = seen["disconnected"] - left
    figure(f"left during {key}: told after {delay * 1000:.0f} ms")
    assert delay < allowed(1.0, left)
    assert seen["late"] == LATE[found.hostname]
    return seen


def test_failures_of_late_sends_are_not_logged(strict: Stage) -> None:
    """What ``send()`` raises after a disconnect is no error of the app's."""
    assert "Traceback" not in strict.app.output


# -- errors of the app -----------------------------------------------------------------------


def test_error_before_the_answer_is_a_500(shared: Stage) -> None:
    """An app that raises before its head answers 500 in plain text and tells no secret."""
    with visiting(shared.edge) as visitor:
        visitor.ask("/fail?when=before")
        head = visitor.read_head()
        assert head.status == 500
        assert (head.get("content-type") or "").startswith("text/plain")
        assert visitor.read_body(head) == b"Internal Server Error"
        visitor.ask("/small")  # the connection stays usable
        assert visitor.read_head().status == 200
    assert "LookupError: a secret of the app" in shared.app.output


@pytest.mark.parametrize("way", ["", "&return=1"], ids=["raise", "return"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("when", ["length", "open"])
def test_answer_cut_short_cannot_look_complete(
    shared: Stage, when: str, version: str, way: str
) -> None:
    """An app that fails inside its body leaves a reset, not an end that looks like one."""
    key = f"{when}{version}{way.strip('&=1')}"
    with visiting(shared.edge) as visitor:
        visitor.ask(f"/fail/{key}?when={when}{way}", version=version)
        head = visitor.read_head()
        assert head.status == 200
        is_chunked = head.get("transfer-encoding") == "chunked"
        assert is_chunked == (when == "open" and version == "1.1")
        part = visitor.read_chunk() if is_chunked else visitor.read_exactly(100)
        assert part == b"x" * 100
        ask_json(shared.edge, f"/go/{key}")
        assert visitor.read_rest() == (b"", True)


@pytest.mark.parametrize("when", ["length", "open"])
def test_error_right_after_the_head_cannot_look_complete(shared: Stage, when: str) -> None:
    """An app that fails before its head has left the process is a 502, or a cut as above."""
    with visiting(shared.edge) as visitor:
        visitor.ask(f"/fail/at-once?when={when}&at-once=1", ("Connection", "close"))
        rest, is_reset = visitor.read_rest()
    assert is_reset or rest.startswith(b"HTTP/1.1 502 ")
    assert b"Traceback" not in rest
    assert b"secret" not in rest
