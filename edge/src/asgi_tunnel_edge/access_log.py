"""One line for each exchange, written by a thread, so that a slow disk slows nobody."""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple, TextIO

_log = logging.getLogger("asgi_tunnel_edge.access_log")

MAX_LINES: Final = 20_000
"""Lines that may wait for the thread: a second or two of full load.  More are counted and left
out, because memory would be the price of keeping them."""

INTERVAL: Final = 0.2
"""Seconds between two writes."""

_MAX_TARGET: Final = 1024


class Entry(NamedTuple):
    """What is known of one exchange when it is over."""

    at: float  # seconds since 1970
    request_id: bytes
    peer: bytes
    method: bytes
    hostname: str
    target: bytes
    status: int  # 101 for a WebSocket; 499 when the visitor left before the answer
    sent: int  # bytes of the answer's body
    seconds: float
    outcome: str  # "" or why it was cut short


class AccessLog:
    """Collects entries and has them written.

    Args:
        form: "text" or "json".
        path: A file to append to; None for standard output.
    """

    def __init__(self, *, form: str = "text", path: Path | None = None) -> None:
        self._format = _as_json if form == "json" else _as_text
        self._path = path
        self._entries: list[Entry] = []
        self._lost = 0
        self._queue: queue.SimpleQueue[list[Entry] | None] = queue.SimpleQueue()
        self._waiting = 0  # entries handed to the thread and not yet written
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Keep an entry for the next :meth:`flush`; never blocks."""
        if len(self._entries) + self._waiting < MAX_LINES:
            self._entries.append(entry)
        else:
            self._lost += 1

    def flush(self) -> None:
        """Hand the entries to the thread; called every ``INTERVAL``."""
        if self._entries:
            entries, self._entries = self._entries, []
            self._waiting += len(entries)
            self._queue.put(entries)
            if self._lost:
                lost, self._lost = self._lost, 0
                _log.warning("%d access log lines were left out: the log is too slow", lost)

    def stop(self, timeout: float = 2.0) -> None:
        """Write what is there and end the thread."""
        self.flush()
        self._queue.put(None)
        self._thread.join(timeout)

    def _write(self) -> None:
        stream: TextIO = sys.stdout
        if self._path is not None:
            stream = self._path.open("a", encoding="utf-8")
        while (entries := self._queue.get()) is not None:
            try:
                stream.write("".join(map(self._format, entries)))
                stream.flush()
            except (OSError, ValueError):  # a full disk or a closed pipe; serving goes on
                self._lost += len(entries)
            self._waiting -= len(entries)


def _text(data: bytes) -> str:
    """Escape what could start a new line or move a terminal's cursor."""
    text = data[:_MAX_TARGET].decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "\\x22")


def _as_text(entry: Entry) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.at))
    outcome = f" {entry.outcome}" if entry.outcome else ""
    return (
        f"{when} {entry.request_id.decode()} {entry.peer.decode('latin-1')} {entry.hostname} "
        f'"{_text(entry.method)} {_text(entry.target)}" {entry.status} {entry.sent} '
        f"{entry.seconds * 1000:.1f}ms{outcome}\n"
    )


def _as_json(entry: Entry) -> str:
    values = {
        "time": entry.at,
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
    return json.dumps(values) + "\n"
