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
from .parent import EXIT_OFFSET, VARIABLE
from .stop import SIGNALS

_log = logging.getLogger("asgi_tunnel.supervisor")

POLL: Final = 0.3
"""Seconds between two looks at files and children."""

RESTART_DELAY: Final = 1.0
"""Seconds before a child that died is started again; doubled for each further death."""

MAX_RESTART_DELAY: Final = 30.0
"""Seconds at the most: an app that dies at each start must not fill the log, nor the machine."""

STABLE_AFTER: Final = 10.0
"""Seconds a child has to live for its death to count as the first one."""

_REFUSED: Final = EXIT_OFFSET + 1
_UNUSABLE: Final = (EXIT_OFFSET + 2, EXIT_OFFSET + 3)
"""Exit codes (:mod:`.runner`) of an app that cannot start as it is: only a change helps."""

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
_MAX_FILES: Final = 20_000  # looked at; a watch of more would cost more than it helps


class _Child:
    """One place for a process: the one that runs in it, or when the next one is due."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.deaths = 0  # since it was last stable
        self.due: float | None = 0.0  # monotonic; None: not before a file changes


class Supervisor:
    """Starts children, passes signals on, and waits for them.

    Args:
        command: What a child runs.
        workers: How many children at the same time.
        watch: Folders whose Python files are watched, and single files; a change replaces the
            children.

    Children end with it, however it ends: :mod:`.parent`.
    """

    def __init__(
        self, command: Sequence[str], *, workers: int = 1, watch: Sequence[Path] = ()
    ) -> None:
        self._command = list(command)
        self._watch = list(watch)
        self._children = [_Child() for _ in range(workers)]
        self._signal = 0
        self._is_reload_due = False
        self._had_terminal = _has_terminal()
        self._was_hung_up = False
        self._pipe = (-1, -1)  # to read, to write

    def run(self) -> int:
        """Serve until a signal; return the exit code."""
        for one in SIGNALS:
            # Ignored at the start, as nohup does it, it stays ignored.
            if one in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(one) != signal.SIG_IGN:
                signal.signal(one, self._on_signal)
        # What a child serves is no other app than what its siblings and its successor serve.
        os.environ.setdefault(group.VARIABLE, secrets.token_hex(8))
        self._pipe = os.pipe()
        try:
            code = self._supervise()
        finally:
            self._stop()
            for one in self._pipe:
                os.close(one)
        if not code:
            _log.info("stopped")
        return code

    def _supervise(self) -> int:
        self._start_due()
        seen = self._snapshot() if self._watch else {}
        while not self._signal:
            time.sleep(POLL)
            if self._was_hung_up and self._had_terminal and not _has_terminal():
                _log.info("the terminal is closed: stopping")
                break
            if self._watch:
                now = self._snapshot()
                changed = sorted(set(now.items()) ^ set(seen.items()))
                seen = now
                if changed:
                    _log.info("%s changed; reloading", os.path.relpath(changed[0][0]))
                elif self._is_reload_due:
                    _log.info("SIGHUP: reloading")
                if changed or self._is_reload_due:
                    self._is_reload_due = False
                    self._replace()
            code = self._look()
            if code is not None:
                return code
            self._start_due()
        if self._signal:
            _log.info("%s: stopping", signal.Signals(self._signal).name)
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        if number == getattr(signal, "SIGHUP", None) and self._watch:
            # A closed terminal sends it too.
            self._was_hung_up = self._is_reload_due = True
            return
        if self._signal:
            for process in self._running():
                process.send_signal(signal.SIGTERM)  # the second one ends a child now
        self._signal = number

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [
            one.process
            for one in self._children
            if one.process is not None and one.process.poll() is None
        ]

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if self._signal or child.process is not None or child.due is None or child.due > now:
                continue
            try:
                child.process = self._spawn()
            except OSError as error:  # the program is being replaced, or the system has no room
                delay = self._put_off(child, now)
                what = "the app's process cannot be started (%s); next try in %g s"
                _log.error(what, error.strerror, delay)
            child.started = now

    def _put_off(self, child: _Child, now: float) -> float:
        """Start a child that died, or did not begin, in a while; return the seconds."""
        child.deaths = 1 if now - child.started > STABLE_AFTER else child.deaths + 1
        delay: float = min(RESTART_DELAY * 2 ** min(child.deaths - 1, 10), MAX_RESTART_DELAY)
        child.due = now + delay
        return delay

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C reaches the supervisor alone, which passes it on once.
        # The command is this program with the arguments it was given.
        reading, _ = self._pipe
        if os.name != "posix":
            return subprocess.Popen(self._command)  # noqa: S603
        return subprocess.Popen(  # noqa: S603
            self._command,
            start_new_session=True,
            pass_fds=(reading,),
            env={**os.environ, VARIABLE: str(reading)},
        )

    def _replace(self) -> None:
        self._stop()
        for child in self._children:
            child.deaths, child.due = 0, 0.0

    def _stop(self) -> None:
        for process in self._running():
            process.send_signal(signal.SIGTERM)
        for child in self._children:
            if child.process is not None:
                child.process.wait()
                child.process = None

    def _look(self) -> int | None:
        """Note which children ended; return an exit code when there is nothing left to do."""
        for child in self._children:
            code = child.process.poll() if child.process is not None else None
            if child.process is None or code is None:
                continue
            pid, child.process = child.process.pid, None
            if code == _REFUSED or (code in _UNUSABLE and not self._watch):
                return code - EXIT_OFFSET
            if code in _UNUSABLE:
                _log.info("the app did not start; it is started again when a file changes")
                child.due = None
                continue
            delay = self._put_off(child, time.monotonic())
            _log.error(
                "the app's process %d %s; starting it again in %g s", pid, _ending(code), delay
            )
        return None

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
            if not root.is_dir():
                yield root
                continue
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
    """Return the command of a child: this program again, without its own options.

    ``-P``: the current folder comes before the standard library otherwise, and a project's own
    ``token.py`` or ``types.py`` would be taken for that of Python.
    """
    return [sys.executable, "-P", "-m", "asgi_tunnel", *arguments]


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _has_terminal() -> bool:
    """Whether there is a terminal that the process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
