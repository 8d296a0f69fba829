"""Starts the processes of a system and reads what they cost from the operating system.

Ends exactly the processes that it started, by their ids.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.model import HOSTNAME, HTTPS_HOSTNAME

ROOT = Path(__file__).parents[1]

READY_TIMEOUT = 30.0
"""Seconds for a process to be ready, on a loaded machine."""

END_TIMEOUT = 3.0
"""Seconds for a process to end after SIGTERM; then it is killed."""

_LOOK_AGAIN = 0.02
"""Seconds between two looks at something that is about to be there."""


class BrokenSystemError(Exception):
    """A system could not be started, or broke; says what it printed."""


@dataclass(frozen=True)
class Process:
    """A child with its output in a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return self.popen.pid

    @property
    def output(self) -> str:
        """All it has printed, both streams."""
        return self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Return when ``condition()`` is true.

        Raises:
            BrokenSystemError: It ended before, or it took too long.
        """
        deadline = time.monotonic() + READY_TIMEOUT
        while not condition():
            if not self.is_alive():
                code = self.popen.returncode
                raise BrokenSystemError(f"{self.name} ended with {code}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise BrokenSystemError(
                    f"{self.name}: no {what} in {READY_TIMEOUT:g} s: {self._last_words()}"
                )
            time.sleep(_LOOK_AGAIN)

    def wait_for(self, text: str) -> None:
        """Return when it has printed ``text``."""
        self.wait_until(lambda: text in self.output, repr(text))

    def wait_for_port(self, port: int, host: str = "127.0.0.1") -> None:
        """Return when something accepts connections on a port."""
        self.wait_until(lambda: _accepts(host, port), f"listener on port {port}")

    def wait_for_app(self, port: int, host: str = "127.0.0.1", *, root: Path | None = None) -> None:
        """Return when the app answers through a port: the whole way is there."""
        self.wait_until(lambda: _answers(host, port, root), f"answer of the app on port {port}")

    def stop(self) -> None:
        """End it."""
        if self.is_alive():
            self.popen.terminate()
        try:
            self.popen.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def _last_words(self) -> str:
        return self.output.strip()[-1000:] or "it printed nothing"


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _answers(host: str, port: int, root: Path | None = None) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2.0) as connection:
            if root is None:
                answer = _ask(connection, HOSTNAME)
            else:
                trust = ssl.create_default_context(cafile=str(root))
                with trust.wrap_socket(connection, server_hostname=HTTPS_HOSTNAME) as inside:
                    answer = _ask(inside, HTTPS_HOSTNAME)
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"hello")


def _ask(connection: socket.socket, name: str) -> bytes:
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    return answer


def wait_for_answer(
    host: str, port: int, *, root: Path | None = None, pause: float = _LOOK_AGAIN
) -> None:
    """Return when the app answers through a port.

    Args:
        host: Where to ask.
        port: Where to ask.
        root: Of the CA that the certificate has to be from; None: without TLS.
        pause: Seconds between two tries.

    Raises:
        BrokenSystemError: It does not.
    """
    deadline = time.monotonic() + READY_TIMEOUT
    while not _answers(host, port, root):
        if time.monotonic() > deadline:
            raise BrokenSystemError(f"no answer of the app in {READY_TIMEOUT:g} s")
        time.sleep(pause)


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Start a child in the project's root, and end it.

    Args:
        name: For messages.
        command: Program and arguments.
        folder: Gets a new file with its output.
        env: Added to the environment.
    """
    handle, log = tempfile.mkstemp(prefix=f"{name.replace(' ', '-')}-", suffix=".log", dir=folder)
    with os.fdopen(handle, "wb") as output:
        popen = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=ROOT,
        )
    process = Process(name, popen, Path(log))
    try:
        yield process
    finally:
        process.stop()


def free_port() -> int:
    """Return a port of loopback that nobody uses, for programs that cannot choose one."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass(frozen=True)
class MachineTime:
    """CPU time of the whole machine since it was started, in the kernel's ticks.

    Attributes:
        stolen: What other machines on the same hardware took while this one had work.
        whole: All of it, idle time too.
    """

    stolen: int
    whole: int

    @classmethod
    def now(cls) -> MachineTime:
        """Read it: the first line of ``/proc/stat``, whose eighth figure is what was stolen."""
        with Path("/proc/stat").open() as file:
            ticks = [int(one) for one in file.readline().split()[1:9]]
        return cls(ticks[7], sum(ticks))

    def stolen_since(self, before: MachineTime) -> float:
        """Return which share of the time since then was stolen."""
        return (self.stolen - before.stolen) / max(self.whole - before.whole, 1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and of its children, with those that have ended."""
    return sum(_clock(one) for one in tree(pid)) + _ended_children(pid)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children, shared pages counted for each."""
    return sum(map(_resident, tree(pid)))


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise BrokenSystemError(f"the kernel shows no memory of process {pid}")


def tree(pid: int) -> list[int]:
    """Return a process and all its living descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue  # it ended while we looked
    return found


def _clock(pid: int) -> float:
    # The kernel's CPU clock of a process counts nanoseconds, with threads that have ended;
    # /proc/PID/stat counts hundredths of a second. The number is clock_getcpuclockid(3)'s.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0  # it ended while we looked


def _ended_children(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
