"""An edge, the FastAPI example behind it, and a visitor, all on this machine (`make demo`).

Proves with real sockets that the example works through the tunnel, says where to open a browser,
and stays until Ctrl-C; with `--once` it ends after the proof. Exit codes: 0 every part worked,
1 one did not, 130 interrupted before the proof was complete.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Final, NoReturn

from websockets.sync.client import ClientConnection, connect

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "fastapi_app"
HOSTNAME: Final = "cloud.localhost"
READY_TIMEOUT: Final = 60.0  # seconds for a process to start, on a slow machine
STOP_TIMEOUT: Final = 20.0  # seconds; above the grace that both sides give to what is in progress
VISITOR_TIMEOUT: Final = 30.0  # seconds a visitor waits for one read
UPLOAD_SIZE: Final = 20 * 1024 * 1024  # bytes
PIECE: Final = 64 * 1024  # bytes written or read at a time
OUTPUT_LINES: Final = 100  # of a failing process that are shown
MIB: Final = 1024 * 1024
_LISTEN: Final = "0A"  # TCP states in /proc/net/tcp
_ESTABLISHED: Final = "01"


class DemoError(Exception):
    """A part of the demo does not work; the text says what was expected and what came."""


# -- processes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process of ours; its output goes to a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """All it has printed, both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return when its output matches; DemoError when it ends first or takes too long."""
        deadline = time.monotonic() + READY_TIMEOUT
        while (found := re.search(pattern, self.output)) is None:
            if self.popen.poll() is not None:
                raise DemoError(f"{self.name} ended with exit code {self.popen.returncode}")
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name} was not ready in {READY_TIMEOUT:g} s")
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        """End it, and this process only."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            self.popen.wait(STOP_TIMEOUT)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: now
            self.popen.kill()
            self.popen.wait()


def program(name: str) -> str:
    """Return the path of one of our commands, installed beside this Python."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise DemoError(f"the command {name} is not installed; run `make setup` first")
    return found


@contextmanager
def started(
    name: str, command: Sequence[str], folder: Path, environment: dict[str, str] | None = None
) -> Iterator[Child]:
    """Run a command meanwhile; it is ended whatever happens."""
    inherited = {key: value for key, value in os.environ.items() if "ASGI_TUNNEL" not in key}
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**inherited, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,  # Ctrl-C reaches this script, which ends the two in order
        )
    child = Child(name=name, popen=popen, log=log)
    try:
        yield child
    finally:
        child.stop()


def edge_command(*arguments: str) -> str:
    """Run `asgi-tunnel-edge ...` to its end and return what it printed."""
    command = [program("asgi-tunnel-edge"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"asgi-tunnel-edge {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


# -- the visitor -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a browser, but with sockets that can be timed.

    Connects to 127.0.0.1 and names the hostname in Host: not every system resolves `*.localhost`.
    """

    port: int

    @property
    def host(self) -> str:
        """What the Host field says."""
        return f"{HOSTNAME}:{self.port}"

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        """One connection to the edge."""
        made = HTTPConnection("127.0.0.1", self.port, timeout=VISITOR_TIMEOUT)
        with closing(made):
            made.connect()
            yield made

    def get(
        self, connection: HTTPConnection, path: str, *, status: int = 200, span: str = ""
    ) -> HTTPResponse:
        """Ask, and return the answer with its body unread."""
        headers = {"Host": self.host, **({"Range": span} if span else {})}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status != status:
            raise DemoError(f"expected status {status}, got {answer.status}: {_start_of(answer)}")
        return answer

    def put(self, connection: HTTPConnection, path: str, data: bytes) -> tuple[bytes, float]:
        """Stream an upload; return the answer's body and when the last byte was sent."""
        connection.putrequest("PUT", path, skip_host=True)
        connection.putheader("Host", self.host)
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders()
        for start in range(0, len(data), PIECE):
            connection.send(data[start : start + PIECE])
        sent_at = time.perf_counter()
        answer = connection.getresponse()
        if answer.status != 201:
            raise DemoError(f"expected status 201, got {answer.status}: {_start_of(answer)}")
        return answer.read(), sent_at

    def join_chat(self, nick: str) -> ClientConnection:
        """Open a WebSocket to the chat."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=VISITOR_TIMEOUT)
        return connect(f"ws://{self.host}/api/chat?nick={nick}", sock=raw, proxy=None)


def _start_of(answer: HTTPResponse) -> str:
    return answer.read(200).decode("utf-8", "replace").strip()


# -- the proof: each part returns its figure or raises ---------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the parts need: the visitor, the app's process, and the file that travels."""

    visitor: Visitor
    app: Child
    data: bytes

    def page(self) -> str:
        """The page comes, and the app sees this very connection."""
        with self.visitor.connection() as connection:
            own_port = connection.sock.getsockname()[1]
            began = time.perf_counter()
            text = self.visitor.get(connection, "/").read()
            took = time.perf_counter() - began
            if b"Home Cloud" not in text:
                raise DemoError(f"another page came: {text[:80]!r}")
            seen = json.load(self.visitor.get(connection, "/api/whoami"))
        if seen["client"] != ["127.0.0.1", own_port] or seen["host"] != self.visitor.host:
            raise DemoError(f"the app sees somebody else: {seen}")
        return f"{len(text)} bytes in {took * 1000:.1f} ms; the app sees our own address and port"

    def upload(self) -> str:
        """A streamed upload arrives byte for byte."""
        with self.visitor.connection() as connection:
            began = time.perf_counter()
            body, _ = self.visitor.put(connection, "/api/files/film.bin", self.data)
            took = time.perf_counter() - began
        expected = hashlib.sha256(self.data).hexdigest()
        stored = json.loads(body)
        if stored["sha256"] != expected:
            raise DemoError(f"expected sha256 {expected}, the app stored {stored['sha256']}")
        return f"{_amount(len(self.data), took)}, sha256 equal"

    def download(self) -> str:
        """The same file comes back, whole and in part."""
        digest, size = hashlib.sha256(), 0
        with self.visitor.connection() as connection:
            began = time.perf_counter()
            answer = self.visitor.get(connection, "/api/files/film.bin")
            while piece := answer.read(PIECE):
                digest.update(piece)
                size += len(piece)
            took = time.perf_counter() - began
            if digest.digest() != hashlib.sha256(self.data).digest():
                raise DemoError(f"{size} bytes came, and not those that were uploaded")
            first, last = 5 * MIB, 5 * MIB + 4095
            answer = self.visitor.get(
                connection, "/api/files/film.bin", status=206, span=f"bytes={first}-{last}"
            )
            if answer.read() != self.data[first : last + 1]:
                raise DemoError("the part asked for with Range is not that part of the file")
        return f"{_amount(size, took)}, sha256 equal; a Range of 4096 bytes too"

    def events(self) -> str:
        """A server-sent event arrives while its stream stays open."""
        with self.visitor.connection() as listening, self.visitor.connection() as uploading:
            stream = self.visitor.get(listening, "/api/events")
            _read_until(stream, b"connected")
            _, sent_at = self.visitor.put(uploading, "/api/files/note.txt", b"hello")
            _read_until(stream, b"note.txt")
            delay = time.perf_counter() - sent_at
            # Ended by hand: the stream has no end, and closing an answer reads to its end.
            listening.sock.shutdown(socket.SHUT_RDWR)
        return f"`uploaded` came {delay * 1000:.1f} ms after the upload's last byte"

    def chat(self) -> str:
        """What one WebSocket says, the other one hears, both ways."""
        times = []
        with self.visitor.join_chat("Ada") as ada, self.visitor.join_chat("Bob") as bob:
            for nick, speaker, hearer in (("Ada", ada, bob), ("Bob", bob, ada)):
                text = f"this is {nick}"
                began = time.perf_counter()
                speaker.send(json.dumps({"nick": nick, "text": text}))
                while json.loads(hearer.recv(VISITOR_TIMEOUT))["text"] != text:
                    pass  # what was said before
                times.append(time.perf_counter() - began)
        there, back = (f"{seconds * 1000:.1f} ms" for seconds in times)
        return f"Ada to Bob {there}, Bob to Ada {back}"

    def no_port(self) -> str:
        """The app's process listens on nothing."""
        if not Path("/proc/self/net/tcp").exists():
            return "not checked: this system has no /proc"
        states = _tcp_states(self.app.popen.pid)
        listening = states.count(_LISTEN)
        if listening:
            raise DemoError(f"the app's process listens on {listening} TCP socket(s)")
        count = states.count(_ESTABLISHED)
        return f"process {self.app.popen.pid}: 0 listening sockets, {count} out"


def _read_until(stream: HTTPResponse, wanted: bytes) -> None:
    while wanted not in (line := stream.readline()):
        if not line:
            raise DemoError(f"the event stream ended before {wanted.decode()!r}")


def _tcp_states(pid: int) -> list[str]:
    """Return the states of a process's TCP sockets, from the kernel's own tables."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in (Path(f"/proc/{pid}/net/tcp"), Path(f"/proc/{pid}/net/tcp6")):
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        rows = [line.split() for line in lines]
        found += [row[3] for row in rows if row[9] in inodes]
    return found


def _amount(size: int, seconds: float) -> str:
    return f"{size / MIB:.0f} MiB in {seconds:.2f} s ({size / MIB / seconds:.0f} MiB/s)"


# -- what a person reads ---------------------------------------------------------------------------


class Screen:
    """Prints one line for each part."""

    def __init__(self) -> None:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal, or a pipe
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.failures = 0

    def title(self, text: str) -> None:
        """A line of its own."""
        print(f"\n{self._in('1', text)}\n", flush=True)

    def note(self, text: str = "") -> None:
        """Plain text."""
        print(text, flush=True)

    def part(self, name: str, prove: Callable[[], str]) -> None:
        """Run a part and say how it went; a failure is counted, and the next part runs."""
        try:
            self._line(self._in("32", "✓"), name, prove())
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told and counted
            self.failed(name, error)

    def failed(self, name: str, error: Exception) -> None:
        """Say that a part does not work."""
        self.failures += 1
        kind = "" if isinstance(error, DemoError) else f"{type(error).__name__}: "
        self._line(self._in("31", "✗"), name, f"{kind}{error}")

    def output_of(self, child: Child) -> None:
        """Show what a process printed, the end of it."""
        lines = child.output.rstrip().splitlines() or ["(nothing)"]
        cut = max(0, len(lines) - OUTPUT_LINES)
        self.title(f"What the {child.name} printed{f', without {cut} lines' if cut else ''}:")
        print("\n".join(lines[cut:]), flush=True)

    def _line(self, mark: str, name: str, text: str) -> None:
        print(f"  {mark} {name:<10}{text}", flush=True)

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


# -- the demo --------------------------------------------------------------------------------------


def run(screen: Screen, folder: Path, *, once: bool) -> int:
    """Start both sides, prove that they work, and stay unless `once`; return the exit code."""
    children: list[Child] = []
    with ExitStack() as stack:
        try:
            visitor, app = _start(screen, folder, stack, children)
        except DemoError as error:
            screen.failed("start", error)
            return _explain(screen, children)
        proof = Proof(visitor=visitor, app=app, data=os.urandom(UPLOAD_SIZE))
        screen.part("page", proof.page)
        screen.part("upload", proof.upload)
        screen.part("download", proof.download)
        screen.part("events", proof.events)
        screen.part("chat", proof.chat)
        screen.part("no port", proof.no_port)
        if screen.failures:
            return _explain(screen, children)
        if once:
            screen.note("\n  Everything works.")
            return 0
        return _stay(screen, visitor, children)


def _explain(screen: Screen, children: list[Child]) -> int:
    for child in children:
        screen.output_of(child)
    return 1


def _start(
    screen: Screen, folder: Path, stack: ExitStack, children: list[Child]
) -> tuple[Visitor, Child]:
    data = str(folder / "edge")
    began = time.perf_counter()
    options = ["--domain", "localhost", "--listen", "127.0.0.1:0", "--tls", "off"]
    edge_command("init", "--data", data, *options)
    command = [program("asgi-tunnel-edge"), "run", "--data", data]
    edge = stack.enter_context(started("edge", command, folder))
    children.append(edge)
    port = int(edge.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])
    screen.part("edge", lambda: f"listens on 127.0.0.1:{port}{_since(began)}")

    began = time.perf_counter()
    token = json.loads(edge_command("token", "create", "cloud", "--data", data, "--json"))["token"]
    command = [program("asgi-tunnel"), "run", "--app-dir", str(EXAMPLE), "home_cloud.main:app"]
    settings = {"ASGI_TUNNEL_TOKEN": token, "HOME_CLOUD_DIR": str(folder / "files")}
    app = stack.enter_context(started("app", command, folder, settings))
    children.append(app)
    url = app.wait_for(r"is live: (\S+)")[1]
    screen.part("app", lambda: f"is live at {url}{_since(began)}")
    return Visitor(port=port), app


def _since(began: float) -> str:
    return f" after {time.perf_counter() - began:.1f} s"


def _stay(screen: Screen, visitor: Visitor, children: list[Child]) -> int:
    screen.note(f"\n  Open http://{visitor.host} in two browser windows: what you do in one, the")
    screen.note("  other shows. Files go to a temporary folder. Ctrl-C ends the demo.")
    try:
        while all(child.popen.poll() is None for child in children):
            time.sleep(0.2)
    except KeyboardInterrupt:
        screen.note("\n  Ending both processes.")
        return 0
    for child in children:
        if child.popen.returncode is not None:
            screen.failed(child.name, DemoError(f"ended with exit code {child.popen.returncode}"))
            screen.output_of(child)
    return 1


def main() -> int:
    """Run the demo in a temporary folder."""
    parser = argparse.ArgumentParser(description="Show asgi-tunnel at work on this machine.")
    parser.add_argument("--once", action="store_true", help="end after the proof")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # ended by a program: clean up all the same
        signal.signal(number, _interrupt)
    screen = Screen()
    screen.title("asgi-tunnel: a visitor -> an edge -> an app that listens on nothing")
    try:
        with tempfile.TemporaryDirectory(prefix="asgi-tunnel-demo-") as folder:
            return run(screen, Path(folder), once=options.once)
    except KeyboardInterrupt:
        screen.note("\n  Interrupted.")
        return 130


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
