"""Asks the inspectors of this user's processes, over their sockets on this machine."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from ..inspector.reply import RefusedError
from ..inspector.socket import SUFFIX
from ..own_socket import is_own

__all__ = ["Inspector", "find_exchange", "find_inspectors"]

ASK_TIMEOUT: Final = 30.0
"""Seconds for a reply: a replay waits 10 s for the app."""

MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes of one reply: an exchange may have two bodies and a thousand messages."""

MAX_LISTED: Final = 2000
"""Exchanges among which an id is looked for by its beginning, the newest ones."""

MAX_NUMBER_DIGITS: Final = 9
"""Digits of an exchange's number; a longer word is an id."""

ID_LENGTH: Final = 16
"""Characters of an id; whoever gives less gives its beginning."""

PROCESS_ID_LENGTH: Final = ID_LENGTH // 2
"""Characters with which every id of a process begins; where they are all digits, and no exchange
has this number, they are meant as the beginning of an id.  Fewer digits are always a number."""

_PAGE: Final = 500  # exchanges in one reply of a list
_NONE: Final = "no app with an inspector runs here"
_FIX: Final = (
    "start one with `asgi-tunnel run --inspect=full MODULE:APP`, or set ASGI_TUNNEL_INSPECT=full"
)


class Inspector:
    """The inspector of one process.

    Args:
        path: Of its socket.

    Attributes:
        pid: Of the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        digits = path.name.partition("-")[0]
        self.pid = int(digits) if digits.isdecimal() else 0

    def ask(self, method: str, target: str, document: Any = None) -> Any:
        """Return what it replies, which is JSON; None: nothing.

        Raises:
            RefusedError: It says no.
            OSError: It is not there, or does not reply.
        """
        body = None if document is None else json.dumps(document).encode()
        with _Connection(self.path, ASK_TIMEOUT) as connection:
            response = connection.send_request(method, target, body)
            data = response.read(MAX_REPLY + 1)
        if len(data) > MAX_REPLY:
            raise RefusedError(413, f"the inspector's reply has more than {MAX_REPLY} bytes")
        if response.status == 204:
            return None
        found = json.loads(data)
        if response.status >= 400:
            raise RefusedError(response.status, str(found.get("error")))
        return found

    def newest(self, **wanted: str) -> Iterator[dict[str, Any]]:
        """Yield the exchanges that fit, the newest one first; arguments as :meth:`ask`'s errors."""
        before: dict[str, int] = {}
        while True:
            page = self.ask("GET", f"/exchanges?{urlencode({**wanted, 'limit': _PAGE, **before})}")
            yield from page["exchanges"]
            if page["next"] is None:
                return
            before = {"before": page["next"]}

    def follow(self, after: int) -> Iterator[dict[str, Any]]:
        """Yield exchanges above a number as they begin and end, until the process ends.

        ``{"lost": n}`` stands for n that came faster than they could be sent.
        """
        with _Connection(self.path, None) as connection:
            response = connection.send_request("GET", f"/live?after={after}", None)
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])


class _Connection(HTTPConnection):
    """One request to a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def send_request(self, method: str, target: str, body: bytes | None) -> HTTPResponse:
        """Send it, and return the response's head.

        Raises:
            OSError: The process is not there, or does not reply.
        """
        try:
            self.request(method, target, body)
            return self.getresponse()
        except TimeoutError:
            raise OSError("the app's process does not reply; is its event loop blocked?") from None
        except HTTPException as error:
            raise OSError(f"the app's process has ended: {error}") from None


def find_inspectors(folders: Sequence[Path]) -> list[Inspector]:
    """Return the inspectors of this user's processes, the oldest one first.

    Raises:
        RefusedError: There is none.
    """
    found = []
    for folder in folders:
        try:
            paths = sorted(folder.glob(f"*{SUFFIX}")) if is_own(folder) else []
        except OSError:
            continue
        found += [one for one in map(Inspector, paths) if _is_there(one)]
    if not found:
        raise RefusedError(404, f"{_NONE}; {_FIX}")
    return sorted(found, key=lambda one: one.path.stat().st_mtime)


def _is_there(one: Inspector) -> bool:
    """Whether its process runs; the socket of one that was killed is left."""
    try:
        one.ask("GET", "/state")
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    return True


def find_exchange(inspectors: Sequence[Inspector], name: str) -> tuple[Inspector, dict[str, Any]]:
    """Return an exchange, and whose it is.

    Args:
        inspectors: Those of this machine.
        name: ``last``, a number as the list shows it, an id, or the beginning of one.

    Raises:
        RefusedError: None fits, or several do.
    """
    if name == "last":
        newest = [(one, found) for one in inspectors for found in _some(one, 1)]
        if not newest:
            raise RefusedError(404, "nothing is recorded yet; send the app a request")
        owner, summary = max(newest, key=lambda pair: float(pair[1]["started"]))
        return owner, owner.ask("GET", f"/exchanges/{summary['id']}")
    for owner, found_id in _matches(inspectors, name.lower()):
        with contextlib.suppress(RefusedError):  # another process's
            return owner, owner.ask("GET", f"/exchanges/{quote(found_id, safe='')}")
    raise RefusedError(
        404, "no exchange has this id, or it has given way to newer ones; see the list"
    )


def _matches(inspectors: Sequence[Inspector], name: str) -> list[tuple[Inspector, str]]:
    """Return the id that is meant, with each process that may have it."""
    is_short = len(name) < PROCESS_ID_LENGTH
    if name.isascii() and name.isdecimal() and len(name) <= MAX_NUMBER_DIGITS:
        if len(inspectors) == 1:
            begin = {"before": str(int(name) + 1), "limit": "1"}
            page = inspectors[0].ask("GET", f"/exchanges?{urlencode(begin)}")["exchanges"]
            found = [(inspectors[0], one["id"]) for one in page if one["seq"] == int(name)]
            if found or is_short:
                return found
        elif is_short:
            raise RefusedError(
                400, "several apps run here, so a number does not say which; give the id, or --pid"
            )
    if len(name) == ID_LENGTH:
        return [(one, name) for one in inspectors]
    found = [
        (one, exchange["id"])
        for one in inspectors
        for exchange in _some(one, MAX_LISTED)
        if exchange["id"].startswith(name)
    ]
    if len(found) > 1:
        raise RefusedError(400, f"{len(found)} ids begin like this; give more of it")
    return found


def _some(one: Inspector, most: int) -> Iterator[dict[str, Any]]:
    for count, found in enumerate(one.newest()):
        if count == most:
            return
        yield found
