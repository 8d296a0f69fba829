"""Starts a load driver, lets it connect, and gives it the word.

CPU and memory are read between its two lines, so that connecting does not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

END_TIMEOUT = 10.0
"""Seconds for a driver to end by itself once it has printed its figures."""


class DriverError(Exception):
    """A driver failed; says what it printed."""


class Driver:
    """A driver that is connected and waits."""

    def __init__(self, popen: subprocess.Popen[str], name: str) -> None:
        self._popen = popen
        self._name = name

    def wait(self) -> dict[str, Any]:
        """Return the next line that it prints.

        Raises:
            DriverError: It failed, or ended.
        """
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise DriverError(f"the driver {self._name} ended with {self._popen.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise DriverError(f"{self._name}: {answer['failed']}")
        return answer

    def begin(self) -> None:
        """Let it load."""
        assert self._popen.stdin is not None
        self._popen.stdin.write("go\n")
        self._popen.stdin.flush()

    def run(self) -> dict[str, Any]:
        """Let it load, and return its figures."""
        self.begin()
        return self.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid


@contextmanager
def driver(name: str, *arguments: object, prefix: Sequence[str] = ()) -> Iterator[Driver]:
    """Start ``benchmarks.drivers.NAME``; it is ready when the block starts, and ends with it.

    Args:
        name: Of the module.
        arguments: Of its command line.
        prefix: A command to start it with, such as ``ip netns exec NAME``.
    """
    command = [*prefix, sys.executable, "-m", f"benchmarks.drivers.{name}"]
    popen = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the benchmark, which ends it in order
    )
    with popen:
        one = Driver(popen, name)
        try:
            one.wait()
            yield one
        finally:
            assert popen.stdin is not None
            popen.stdin.close()
            try:
                popen.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                popen.kill()
