"""Writes the edge's own log lines to standard error, in a thread and never too many of them.

A pipe that nobody reads holds 64 KiB; the next write to it waits for ever, and with it the event
loop (T61).  So lines wait in a bounded queue, and what a stranger can repeat is summed up: a line
that has just been written is counted, and written once more, with the count, after a minute.
Which lines there are is left to those who log; ``server`` installs the handler.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from asgi_tunnel.errors import TunnelError

from .log_file import LogFile

__all__ = ["LogHandler", "Repeats", "logging_to_stderr"]

_log = logging.getLogger("asgi_tunnel_edge.observers")

WINDOW: Final = 60.0
"""Seconds for which equal lines are counted before they are written again."""

MAX_ALIKE: Final = 300
"""Different lines of one statement in a window; more are only counted. 5 a second fill no disk, and
the restart of an edge with 300 tunnels is still seen whole."""

MAX_REMEMBERED: Final = 2000
"""Lines whose repetitions are counted, 1 MB; more are each written, up to ``MAX_ALIKE``."""

MAX_WAITING: Final = 1024 * 1024
"""Bytes that may wait for a reader of standard error; more lines are counted and left out."""

MAX_LINE: Final = 16 * 1024
"""Characters of one line, or one traceback; what is longer is cut."""

STOP_TIMEOUT: Final = 2.0
"""Seconds that the last lines get at the end; who does not read them by then does not read."""

_MAX_SUMMARY: Final = 400  # characters of a line that is written again with its count
_LOOK: Final = 1.0  # seconds between two looks for counts that are due
_RETRY: Final = 0.05  # seconds, when standard error was made non-blocking and is full


class _Count:
    """How often one line, or the lines of one statement, were not written."""

    __slots__ = ("left_out", "since", "text", "written")

    def __init__(self, text: str, since: float) -> None:
        self.text = text
        self.since = since
        self.written = 0
        self.left_out = 0


class Repeats:
    """Decides which lines are written; without input, output or a clock."""

    def __init__(self) -> None:
        self._lines: dict[int, _Count] = {}  # by the hash of a line
        self._statements: dict[tuple[str, int], _Count] = {}  # by file and line: as many as we have

    def take(self, text: str, statement: tuple[str, int], now: float) -> bool:
        """Return whether to write a line now.

        Args:
            text: Without its time.
            statement: The file and the line number of what logs it.
            now: Monotonic seconds.
        """
        key = hash(text)
        line = self._lines.get(key)
        if line is not None:
            line.left_out += 1
            return False
        summary = text.partition("\n")[0][:_MAX_SUMMARY]
        alike = self._statements.get(statement)
        if alike is None:
            alike = self._statements[statement] = _Count(summary, now)
        if alike.written >= MAX_ALIKE:
            alike.left_out += 1
            alike.text = summary
            return False
        alike.written += 1
        if len(self._lines) < MAX_REMEMBERED:
            self._lines[key] = _Count(summary, now)
        return True

    def due(self, now: float) -> list[str]:
        """Return the lines that tell what was counted in windows that are over, and begin anew.

        Args:
            now: Monotonic seconds; infinity for everything that was counted.
        """
        found = []
        for key, line in list(self._lines.items()):
            if now - line.since >= WINDOW:
                if line.left_out:
                    found.append(f"{line.text} ({_more(line, now, 'time', 'times')})")
                    line.since, line.left_out = now, 0  # goes on being counted, not written
                else:
                    del self._lines[key]
        for statement, alike in list(self._statements.items()):
            if now - alike.since >= WINDOW:
                if alike.left_out:
                    found.append(f"{alike.text} ({_more(alike, now, 'line', 'lines')} like it)")
                del self._statements[statement]
        return found


def _more(count: _Count, now: float, one: str, several: str) -> str:
    minutes = round((now - count.since) / 60) if now < math.inf else 1
    period = "a minute" if minutes <= 1 else f"{minutes} minutes"
    return f"{count.left_out:,} more {one if count.left_out == 1 else several} in {period}"


class LogHandler(logging.Handler):
    """See the module.

    Args:
        handle: The file descriptor to write to; None: there is none, and lines are dropped. Where
            it leads to a file that is renamed, the next lines go to a new one of the old name.
        stdout: Standard output, which is seen to in the same way: nobody may write to it for long.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        handle: int | None,
        *,
        stdout: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._handle = handle
        self._files = [LogFile(handle=one) for one in (handle, stdout) if one is not None]
        self._clock = clock
        self._repeats = Repeats()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0  # bytes handed to the thread and not yet written
        self._lost = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line, count it, or count it as lost; never waits for a reader.

        The caller, ``logging``, holds the handler's lock.
        """
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001
            # A defect of the statement that logs, which must not end what it only tells of.
            text = f"ERROR {_log.name}: a log line cannot be formatted"
            text += f" ({record.pathname}, line {record.lineno})"
        if len(text) > MAX_LINE:
            text = f"{text[:MAX_LINE]} ... {len(text) - MAX_LINE} characters are cut"
        if self._repeats.take(text, (record.pathname, record.lineno), self._clock()):
            self._put(text, record.created)

    def close(self) -> None:
        """Write what waits, for ``STOP_TIMEOUT`` seconds at most; may be called twice."""
        with self._guard():
            was_closed, self._is_closed = self._is_closed, True
        if not was_closed:
            self._queue.put(None)
            if self._thread.is_alive():
                self._thread.join(STOP_TIMEOUT)
        super().close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _put(self, text: str, created: float) -> None:
        data = _line(text, created)
        if self._waiting + len(data) > MAX_WAITING:
            self._lost += 1
        else:
            self._waiting += len(data)
            self._queue.put(data)

    def _write(self) -> None:
        due = self._clock() + _LOOK
        while True:
            try:
                data = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                data = b""
            if data:
                self._send(data)
                with self._guard():
                    self._waiting -= len(data)
            for file in self._files:
                file.open()  # at least each second, with a signal and without
            if data is None or self._clock() >= due:
                self._sum_up(math.inf if data is None else self._clock())
                due = self._clock() + _LOOK
            if data is None:
                return

    def _sum_up(self, now: float) -> None:
        with self._guard():
            lines = self._repeats.due(now)
            lost, self._lost = self._lost, 0
        if lost:
            why = "nobody has read standard error"
            lines.append(f"WARNING {_log.name}: {lost:,} log lines were left out: {why}")
        for text in lines:
            self._send(_line(text, time.time()))

    def _send(self, data: bytes) -> None:
        while data and self._handle is not None:
            try:
                data = data[os.write(self._handle, data) :]
            except BlockingIOError:  # another process has set the pipe to non-blocking
                time.sleep(_RETRY)
            except OSError:  # a closed pipe or a full disk; serving goes on
                return


def _line(text: str, created: float) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{at}.{int(created % 1 * 1000):03d}Z {text}\n".encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Send everything that is logged in this process to standard error, by a :class:`LogHandler`.

    That is INFO and above of ours, and WARNING and above of everybody else: asyncio tells of
    exceptions in callbacks there.  At the end, and before the process crashes, all is written.

    Raises:
        SystemExit: 1, in the place of an exception that nobody expected: its traceback is logged.
    """
    handler = LogHandler(_handle_of(sys.stderr), stdout=_handle_of(sys.stdout))
    handler.start()
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)
    for name in ("asgi_tunnel", "asgi_tunnel_edge"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # Python itself writes to standard error here, and would wait for its reader.
    threading.excepthook = _on_thread_exception
    sys.unraisablehook = _on_unraisable
    try:
        yield
    except (TunnelError, OSError):
        raise  # the command says it in one sentence
    except Exception:  # noqa: BLE001
        # The process's outer edge: it ends here, and Python's own traceback could wait for ever.
        _log.critical("the edge has crashed", exc_info=True)
        raise SystemExit(1) from None
    finally:
        handler.close()


def _handle_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or taken over by a test
        return None


def _on_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "of no name"
        _log.error("an exception ended the thread %s", name, exc_info=args.exc_value)


def _on_unraisable(args: sys.UnraisableHookArgs) -> None:
    what = args.err_msg or "an exception was ignored"
    _log.error("%s in %r", what, args.object, exc_info=args.exc_value)
