"""Runs the app in child processes: several workers, or one that is replaced on each change."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from . import group

_log = logging.getLogger("asgi_tunnel.supervisor")

POLL: Final = 0.3
"""Seconds between two looks at files and children."""

RESTART_DELAY: Final = 1.0
"""Seconds before a worker that died is started again."""

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
_MAX_FILES: Final = 20_000  # looked at; a watch of more would cost more than it helps


class Supervisor:
    """Starts children, passes signals on, and waits for them.

    Args:
        command: What a child runs.
        workers: How many children at the same time.
        watch: Folders whose Python files are watched; a change replaces the children.
    """

    def __init__(
        self, command: Sequence[str], *, workers: int = 1, watch: Sequence[Path] = ()
    ) -> None:
        self._command = list(command)
        self._workers = workers
        self._watch = list(watch)
        self._children: list[subprocess.Popen[bytes]] = []
        self._signal = 0

    def run(self) -> int:
        """Serve until a signal; return the exit code."""
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, self._on_signal)
        # What a child serves is no other app than what its siblings and its successor serve.
        os.environ.setdefault(group.VARIABLE, secrets.token_hex(8))
        self._start()
        seen = self._snapshot()
        code = 0
        while not self._signal:
            time.sleep(POLL)
            if self._watch:
                now = self._snapshot()
                if now != seen:
                    changed = sorted(set(now.items()) ^ set(seen.items()))
                    _log.info("%s changed; reloading", os.path.relpath(changed[0][0]))
                    seen = now
                    self._stop()
                    self._start()
            else:
                code = self._replace_dead()
                if not self._children:
                    return code
        self._stop()
        return code

    def _on_signal(self, number: int, frame: object) -> None:
        if self._signal:
            for child in self._children:
                child.send_signal(signal.SIGTERM)  # the second one ends a child now
        self._signal = number

    def _start(self) -> None:
        self._children = [self._spawn() for _ in range(self._workers)]

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C reaches the supervisor alone, which passes it on once.
        # The command is this program with the arguments it was given.
        return subprocess.Popen(self._command, start_new_session=True)  # noqa: S603

    def _stop(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children:
            child.wait()
        self._children = []

    def _replace_dead(self) -> int:
        """Start workers anew that died; one that says its settings are wrong stays down."""
        for number, child in enumerate(self._children):
            code = child.poll()
            if code is None:
                continue
            if code in (0, 1, 2, 3):
                self._stop()
                return code
            _log.error("worker %d ended with %d; starting it again", child.pid, code)
            time.sleep(RESTART_DELAY)
            if not self._signal:
                self._children[number] = self._spawn()
        return 0

    def _snapshot(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for path in self._files():
            try:
                found[str(path)] = path.stat().st_mtime
            except OSError:
                continue
        return found

    def _files(self) -> Iterator[Path]:
        count = 0
        for root in self._watch:
            for folder, folders, names in os.walk(root):
                folders[:] = [
                    one for one in folders if one not in _SKIPPED and not one.startswith(".")
                ]
                for name in names:
                    if name.endswith(".py"):
                        count += 1
                        if count > _MAX_FILES:
                            return
                        yield Path(folder, name)


def child_command(arguments: Sequence[str]) -> list[str]:
    """Return the command of a child: this program again, without its own options."""
    return [sys.executable, "-m", "asgi_tunnel", *arguments]
