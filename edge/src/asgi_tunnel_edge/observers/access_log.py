"""Writes one line for each exchange, in a thread, so that a slow disk delays no visitor.

What goes into an :class:`Entry` is left to those who end an exchange: the visitor's connection and
:mod:`..exchange`.  :mod:`..context` flushes several times a second.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from .log_file import LogFile
from .recent import RecentLines
from .rotation import Rotation

_log = logging.getLogger("asgi_tunnel_edge.observers")

MAX_LINES: Final = 20_000
"""Lines between two flushes: four times what a full load makes."""

MAX_WAITING: Final = 8 * 1024 * 1024
"""Bytes that may wait for the thread.  More are counted and left out: memory, or waiting for a
slow disk, would be the price of keeping them."""

SAY_INTERVAL: Final = 60.0
"""Seconds between two lines about what is not in the log."""

NEWLINE: Final = 10

_TRIES: Final = 10  # to write to a file that other processes rotate

_MAX_TARGET: Final = 1024
_UNSAFE: Final = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]').search


class Entry(NamedTuple):
    """What is known of one exchange when it is over."""

    request_id: bytes
    peer: bytes
    method: bytes
    hostname: str
    target: bytes
    status: int  # 101 for a WebSocket; 499 when the visitor left before the response
    sent: int  # bytes of the response's body
    seconds: float
    outcome: str  # "" or why it was cut short


class AccessLog:
    """Formats entries at once and has them written by a thread.

    The thread only writes: formatting there would take the interpreter lock from the event loop
    for 5 ms at a time, which doubled the p99 of all exchanges (measured: 9 ms against 4 ms).

    Args:
        form: "text" or "json".
        path: A file to append to; None for standard output.
        rotation: Renames the file when it is due; None: nobody here does.

    Attributes:
        recent: The newest lines, whatever becomes of them.
    """

    def __init__(
        self, *, form: str = "text", path: Path | None = None, rotation: Rotation | None = None
    ) -> None:
        self._format = _as_json if form == "json" else _as_text
        self.recent = RecentLines()
        self._lines: list[bytes] = []
        self._left_out = _Losses("were left out: the log is too slow")
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0  # bytes handed to the thread and not yet written
        self._file = _File(path, rotation)
        self._writing = threading.Thread(target=self._write, name="access-log", daemon=True)

    def open(self) -> None:
        """Open the file; :meth:`start` comes next.

        Raises:
            OSError: It cannot be opened, or the folder does not exist.
        """
        self._file.open()

    def start(self) -> None:
        """Start the thread."""
        self._writing.start()

    def reopen(self) -> None:
        """Leave a file that was renamed or removed, without waiting for the next line."""
        self._queue.put(b"")

    def closed(self, entry: Entry) -> None:
        """Keep a line for the next :meth:`flush`, or count it as lost; never blocks."""
        if self._waiting > MAX_WAITING or len(self._lines) > MAX_LINES:
            self._left_out.count += 1
        else:
            self._lines.append(self._format(entry))

    def flush(self) -> None:
        """Hand the lines to the thread; called several times a second."""
        if self._lines:
            data = b"".join(self._lines)
            self.recent.extend(self._lines)
            self._lines.clear()
            self._waiting += len(data)
            self._queue.put(data)
        self._left_out.say()

    def stop(self, timeout: float = 2.0) -> None:
        """Write what is there and end the thread."""
        self.flush()
        self._queue.put(None)
        if self._writing.is_alive():
            self._writing.join(timeout)

    def _write(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                self._file.write(data)
            except Exception:  # noqa: BLE001
                # The task's outer edge: a defect here must not end the log for ever.
                _log.exception("the access log was not written by a defect")
            self._waiting -= len(data)
        self._file.losses.say(is_last=True)
        self._file.close()


class _Losses:
    """Lines that are not in the log: counted, and said at once and then once a minute.

    Args:
        why: The end of the sentence.
    """

    def __init__(self, why: str = "") -> None:
        self.count = 0
        self.why = why
        self._said = -SAY_INTERVAL

    def say(self, *, is_last: bool = False) -> None:
        """Say how many, unless it was said within the minute."""
        now = time.monotonic()
        if self.count and (is_last or now - self._said >= SAY_INTERVAL):
            count, self.count = self.count, 0
            self._said = now
            _log.warning("%d access log lines %s", count, self.why)


class _File:
    """What the lines are written to, by one thread: a file, or standard output.

    Args:
        path: Of the file; None for standard output.
        rotation: Renames it when it is due; None: nobody here does.
    """

    def __init__(self, path: Path | None, rotation: Rotation | None = None) -> None:
        self.losses = _Losses()
        self._path = path
        self._rotation = rotation
        self._file: LogFile | None = None
        self._is_cut = False  # the file ends within a line

    def open(self) -> None:
        """Open it, in place of what was open.

        Raises:
            OSError: It cannot be opened, or the folder does not exist.
        """
        if self._file is None:
            handle = sys.stdout.fileno() if self._path is None else -1
            self._file = LogFile(self._path, handle=handle)
        if self._file.open():
            self._is_cut = False

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Write lines; those for which there is no room are counted.

        Without a line it only sees to it that a file which was renamed is left.
        """
        try:
            self.open()
        except OSError as error:
            self._lose(data, len(data), error)
        else:
            if self._rotation is not None and data:
                self._append_rotated(data, self._rotation)
            else:
                self._append(data)
        self.losses.say()

    def _append_rotated(self, data: bytes, rotation: Rotation) -> None:
        """Write to a file that this process, and others, may rename."""
        assert self._file is not None
        for _ in range(_TRIES):
            try:
                if rotation.is_due(self._file.handle, len(data)):
                    rotation.rotate(self._file.handle, len(data))
                    self.open()
            except OSError as error:
                what = "it goes on as it is; make its folder writable for the edge's user"
                _log.warning("%s cannot be rotated (%s); %s", self._path, error.strerror, what)
            with rotation.writing(self._file.handle) as is_named:
                if is_named:
                    self._append(data)
                    return
            try:
                self.open()
            except OSError as error:
                self._lose(data, len(data), error)
                return
        self._append(data)

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        view = memoryview(data)
        try:
            if self._is_cut and data:
                view = memoryview(b"\n" + data)
            while view:
                written = os.write(self._file.handle, view)
                self._is_cut = view[written - 1] != NEWLINE
                view = view[written:]
        except OSError as error:  # a full disk or a closed pipe; serving goes on
            self._lose(bytes(view), len(data), error)

    def _lose(self, rest: bytes, size: int, error: OSError) -> None:
        """Count the lines of what was not written, of so many bytes of lines."""
        self.losses.count += rest.count(b"\n") - (len(rest) > size)
        where = "to standard output" if self._path is None else f"to {self._path}"
        what = "make room there; lines are written again as soon as there is some"
        self.losses.why = f"could not be written {where} ({error.strerror}); {what}"


_times: dict[int, bytes] = {}


def _now() -> bytes:
    """Return the time of this second."""
    now = int(time.time())
    text = _times.get(now)
    if text is None:
        _times.clear()
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)).encode()
        _times[now] = text
    return text


def _text(data: bytes) -> bytes:
    """Escape what could end a quoted text, start a line or move a terminal's cursor."""
    data = data[:_MAX_TARGET]
    if _UNSAFE(data) is None:
        return data
    text = data.decode("latin-1").encode("unicode_escape")
    return text.replace(b'"', b"\\x22")


def _as_text(entry: Entry) -> bytes:
    identifier, peer, method, hostname, target, status, sent, seconds, outcome = entry
    return b'%s %s %s %s "%s %s" %d %d %.1fms%s\n' % (
        _now(),
        identifier,
        peer,
        hostname.encode(),
        _text(method),
        _text(target),
        status,
        sent,
        seconds * 1000,
        b" " + _text(outcome.encode()) if outcome else b"",
    )


def _as_json(entry: Entry) -> bytes:
    values = {
        "time": _now().decode(),
        "request_id": entry.request_id.decode(),
        "peer": entry.peer.decode("latin-1"),
        "hostname": entry.hostname,
        "method": entry.method.decode("latin-1"),
        "target": entry.target[:_MAX_TARGET].decode("latin-1"),
        "status": entry.status,
        "sent": entry.sent,
        "seconds": round(entry.seconds, 6),
    }
    if entry.outcome:
        values["outcome"] = entry.outcome
    data = msgspec.json.encode(values)
    if not data.isascii():  # JSON may hold U+009B as it is, and a terminal takes it for an escape
        data = json.dumps(values, separators=(",", ":")).encode()
    return data.replace(b"\x7f", b"\\u007f") + b"\n"
