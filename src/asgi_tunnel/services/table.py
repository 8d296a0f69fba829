"""Finds the service of a request.  Pure: no clock, no sockets, no files.

The table is ordered, and the first line that fits is the one: what is read from top to bottom
needs no rule of precedence that somebody has to remember.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from .service import Service

MAX_SERVICES: Final = 1000
"""Lines of a table: a request looks at those of its hostname only, a person reads all of them."""

_MAX_REMEMBERED: Final = 1024
"""Hostnames whose lines are remembered; with a whole wildcard a visitor chooses the name."""


MAX_HOST: Final = 264
"""Bytes of a Host: a hostname has 253, and a port and brackets may come with an address."""

MAX_HOSTS: Final = 256
"""Values of Host that are remembered: a table has a few hostnames, a visitor may make some up."""


class Match(NamedTuple):
    """A service and the request's path as it sees it."""

    service: Service
    prefix: bytes  # of the raw path: what matched the service's path, without a slash at its end
    rest: bytes  # of the raw path: what is behind it; empty, or begins with a slash


class Table:
    """The services, in order."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        self.services = tuple(services)
        self._lines = [(one, _segments(one.path)) for one in self.services]
        self._by_hostname: dict[str, list[tuple[Service, list[bytes]]]] = {}

    def find(self, hostname: str, raw_path: bytes) -> Match | None:
        """Return the first service that takes a request; None where there is none.

        Args:
            hostname: Lower-case, without a port.
            raw_path: As sent, without the query.  Its segments are compared decoded, so that
                ``/%61pi`` is ``/api``; an encoded slash is part of a segment.
        """
        lines = self._by_hostname.get(hostname)
        if lines is None:
            lines = [one for one in self._lines if is_named(one[0].hostname, hostname)]
            if len(self._by_hostname) < _MAX_REMEMBERED:
                self._by_hostname[hostname] = lines
        for service, segments in lines:
            if not segments:
                return Match(service, b"", raw_path)
            parts = raw_path.split(b"/", len(segments) + 1)
            taken = parts[1 : len(segments) + 1]
            if parts[0] or len(taken) < len(segments):
                continue
            if taken != segments and [unquote_to_bytes(one) for one in taken] != segments:
                continue
            prefix = b"/" + b"/".join(taken)
            return Match(service, prefix, raw_path[len(prefix) :])
        return None

    def shadowed(self) -> list[tuple[Service, Service]]:
        """Return the services that no request reaches, each with the earlier one that takes all."""
        found: list[tuple[Service, Service]] = []
        for index, service in enumerate(self.services):
            for earlier in self.services[:index]:
                if _covers(earlier, service):
                    found.append((service, earlier))
                    break
        return found


def read_hostname(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the hostname that was asked for; None where there is none of use, or several."""
    found = [value for name, value in fields if name == b"host"]
    if len(found) != 1 or not 0 < len(found[0]) <= MAX_HOST:
        return None
    return _read_host(found[0])


@lru_cache(MAX_HOSTS)
def _read_host(value: bytes) -> str:
    host = value.decode("latin-1").lower()
    if not host.endswith("]"):
        name, colon, port = host.rpartition(":")
        if colon and port.isdecimal():
            host = name
    return host.removesuffix(".")


def is_named(pattern: str, hostname: str) -> bool:
    """Whether a pattern means a hostname: equal, ``*``, or ``*.`` for one label in front."""
    if pattern in ("*", hostname):
        return True
    return pattern.startswith("*.") and pattern[2:] == hostname.partition(".")[2]


def has_dot_segments(raw_path: bytes) -> bool:
    """Whether a path has ``.`` or ``..`` in it, in any spelling that a server may resolve.

    ``/api/../admin`` matches ``/api``, and a server that resolves it answers with ``/admin``.
    """
    if b"." not in raw_path and b"%" not in raw_path:
        return False
    path = raw_path
    for _ in range(2):  # some servers decode twice
        path = unquote_to_bytes(path)
        for segment in path.replace(b"\\", b"/").split(b"/"):
            if segment.partition(b";")[0] in (b".", b".."):  # /..;/: servers of servlets
                return True
    return False


def _segments(path: str) -> list[bytes]:
    return path.encode().split(b"/")[1:] if path else []


def _covers(earlier: Service, later: Service) -> bool:
    """Whether each request of the later one is taken by the earlier one."""
    names = earlier.hostname == later.hostname or is_named(earlier.hostname, later.hostname)
    paths = later.path == earlier.path or later.path.startswith(earlier.path + "/")
    return names and paths
