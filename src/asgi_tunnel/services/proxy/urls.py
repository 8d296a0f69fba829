"""URLs in fields: what a service calls its own becomes what the visitor can use, and back.

A Location goes to the visitor (RFC 9110 section 10.2.2), a Destination to the service (RFC 4918
section 10.3).  Pages and other bodies pass as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ..service import ProxyTarget, Service
from ..table import Table, has_dot_segments
from .errors import RequestError
from .response import Fields

_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?#\\]*)(.*)", re.IGNORECASE).fullmatch
_NAMES_A_HOST: Final = (b"/", b"\\", b"\t")
"""Behind a first slash: browsers read a hostname next, and leave tabs out."""

_SCHEMES: Final = {"ws": b"http", "wss": b"https"}


class UrlMap:
    """The URLs of one service.

    Args:
        service: Its line of the table.
        target: Where it is.
    """

    def __init__(self, service: Service, target: ProxyTarget) -> None:
        self._path = service.path.encode()
        self._replace = None if service.replace is None else service.replace.encode()
        self._is_stripped = service.strip
        self._send_host = target.send_host.encode()
        self._scheme = b"https" if target.scheme == "https" else b"http"
        self._port = b":%d" % target.port
        known = (target.send_host, "" if target.scheme == "unix" else target.authority)
        self._authorities = frozenset(one.lower().encode() for one in known if one)
        # Its path as requests are matched with it, whatever their hostname.
        self._table = Table([replace(service, hostname="*")])

    def map_response(self, status: int, fields: Fields, scope: Mapping[str, Any]) -> Fields:
        """Return the fields of a response, with each Location as :meth:`for_visitor` has it."""
        if not (300 <= status < 400 or status == 201):
            return fields
        return [
            (name, self.for_visitor(value, scope) if name == b"location" else value)
            for name, value in fields
        ]

    def for_visitor(self, location: bytes, scope: Mapping[str, Any]) -> bytes:
        """Return a Location as the visitor has to see it.

        A service that does not know its public name or that TLS ends in front of it gives an
        address of its own; one whose prefix was stripped or replaced gives paths without it.

        Args:
            location: As the service sent it.
            scope: Of the call.
        """
        found = _ABSOLUTE(location)
        if found is None:
            is_path = location.startswith(b"/") and not location.startswith(b"//")
            return self._public_path(location, scope) if is_path else location
        if not self._is_own(found[1].lower(), found[2].lower(), scope):
            return location
        path = self._public_path(_path(found[3]), scope)
        if path[1:2] in _NAMES_A_HOST:
            return b"%s://%s%s" % (_scheme(scope), _host(scope), path)
        return path

    def _is_own(self, scheme: bytes, authority: bytes, scope: Mapping[str, Any]) -> bool:
        """Whether an absolute URL leads to the service, and the visitor needs another one."""
        host = _host(scope).lower()
        if authority == host and scheme == _scheme(scope):
            return bool(scope["root_path"]) or self._replace is not None
        if scheme != self._scheme:
            return False
        # nginx names the Host that it was asked for, without its port or with its own port.
        name = host if host.endswith(b"]") else host.rpartition(b":")[0] or host
        return authority in self._authorities or authority in (host, name, name + self._port)

    def _public_path(self, path: bytes, scope: Mapping[str, Any]) -> bytes:
        """Return a path of the service as the visitor asks for it.

        One that has the prefix already stays: the service was told it, in its own settings or by
        X-Forwarded-Prefix.
        """
        if self._replace is not None:
            if self._replace and _is_below(path, self._replace):
                path = self._path + path[len(self._replace) :]
            elif not self._replace and not _is_below(path, self._path):
                path = self._path + path
        root: bytes = scope["root_path"].encode()
        return path if not root or _is_below(path, root) else root + path

    def for_service(self, destination: bytes, scope: Mapping[str, Any]) -> bytes:
        """Return a Destination as the service has to see it: in step with its Host and its path.

        Args:
            destination: As the visitor sent it.
            scope: Of the call.

        Raises:
            RequestError: It is at another service: who may reach a part of a server must not
                write to the rest of it.
        """
        found = _ABSOLUTE(destination)
        if found is not None and found[2].lower() != _host(scope).lower():
            if self._path:
                raise RequestError(502, "the destination is on another server")
            return destination
        whole = destination if found is None else _path(found[3])
        path = whole.partition(b"?")[0]
        if self._path and has_dot_segments(path):
            raise RequestError(400, "the destination has . or .. in it")
        if not path.startswith(b"/"):  # relative to the request's own path
            if self._path and b":" in path:
                raise RequestError(502, "the destination is on another server")
            return destination
        inner = self._own_path(path, scope) + whole[len(path) :]
        if found is None:
            return inner
        if self._send_host:
            return b"%s://%s%s" % (self._scheme, self._send_host, inner)
        return b"%s://%s%s" % (found[1], found[2], inner)

    def _own_path(self, path: bytes, scope: Mapping[str, Any]) -> bytes:
        root: bytes = scope["root_path"].encode()
        if self._is_stripped:
            root = root.removesuffix(self._path)
        match = self._table.find("", path.removeprefix(root))
        if match is None:
            raise RequestError(502, "the destination is at another service")
        if self._is_stripped:
            return match.rest or b"/"
        if self._replace is not None:
            return self._replace + match.rest or b"/"
        return match.prefix + match.rest


def _is_below(path: bytes, prefix: bytes) -> bool:
    """Whether a path, perhaps with a query, is the prefix or begins with its segments."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (
        b"",
        b"/",
        b"?",
        b"#",
    )


def _path(rest: bytes) -> bytes:
    """Return what stands behind a URL's authority, with a path in any case."""
    return rest if rest.startswith(b"/") else b"/" + rest


def _host(scope: Mapping[str, Any]) -> bytes:
    for name, value in scope["headers"]:
        if name == b"host":
            return bytes(value)
    return b""


def _scheme(scope: Mapping[str, Any]) -> bytes:
    scheme = str(scope.get("scheme", "http"))
    return _SCHEMES.get(scheme, scheme.encode())
