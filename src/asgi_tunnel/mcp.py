"""Servers of the Model Context Protocol: their ASGI app, and the public hostname that they take.

The MCP SDK and FastMCP are known by what their objects have; neither is imported.  Both may refuse
a Host that they do not know, against DNS rebinding, and know this machine's own names at first.
Called by :mod:`.loading`, and by what opens a tunnel once the edge has named its URLs.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["allow_public_hosts", "make_app"]

_log = logging.getLogger("asgi_tunnel.mcp")

MAX_OBJECTS: Final = 10_000
"""Routes, middleware and apps that are looked at; an app of 2,000 routes has 6,000 of them."""

_MAKERS: Final = ("http_app", "streamable_http_app")
"""Methods that make the ASGI app: of FastMCP, whose older versions have both; of the SDK."""

_INSIDE: Final = (
    "app",
    "endpoint",
    "routes",
    "user_middleware",
    "middleware_stack",
    "security_settings",
    "served_apps",
    "_security",  # of the SDK's transport for server-sent events, which has no other way
)
"""Where apps, routers and transports of Starlette's kind keep what is inside them."""

_ADVICE: Final = (
    "the MCP server refuses requests for %s: its list of allowed hosts cannot be changed from "
    "outside; name the host in allowed_hosts, and %s in allowed_origins"
)


def make_app(found: Any) -> Any:
    """Return the ASGI app of an MCP server; what is none is returned as it is.

    Args:
        found: What ``module:attribute`` names, such as a ``FastMCP`` or an ``MCPServer``.
    """
    if callable(found) or inspect.ismodule(found) or inspect.isclass(found):
        return found
    for name in _MAKERS:
        make = getattr(found, name, None)
        if callable(make):
            return make()
    return found


def allow_public_hosts(app: object, urls: Sequence[str]) -> None:
    """Add the tunnel's hostnames to the allowed hosts of the MCP servers in an app; log it.

    A list that has one of the tunnel's hostnames is left as it is: somebody wrote it for them.

    Args:
        app: What the tunnel serves; its routes and mounts are searched.
        urls: ``https://name`` with a port where it is another one, or ``https://*.name``.

    Nothing happens where the SDK has not been imported.
    """
    if "mcp" not in sys.modules or not urls:
        return
    found = _Search(app)
    added = False
    for guard in found.guards:
        added = guard.allow(urls) or added
    hosts = ", ".join(urlsplit(one).netloc for one in urls)
    for path in found.paths[:1]:
        _log.info(
            "MCP clients connect to %s%s%s",
            urls[0].replace("//*.", "//demo.", 1),
            path,
            f"; {hosts} is among its allowed hosts now" if added else "",
        )


class _Guard:
    """One list of allowed hosts, and of allowed origins beside it.

    Args:
        owner: Has them as attributes, or as items where it is a dict.
        takes_patterns: ``*.name`` stands for every name below it.
    """

    def __init__(self, owner: Any, *, takes_patterns: bool) -> None:
        self._owner = owner
        self._takes_patterns = takes_patterns

    def allow(self, urls: Sequence[str]) -> bool:
        """Add hosts and origins; return whether that changed anything.  Failures are logged."""
        hosts = self._read("allowed_hosts")
        origins = self._read("allowed_origins")
        if any(_is_among(urlsplit(one).netloc, hosts) for one in urls):
            return False
        usable = [one for one in urls if self._takes_patterns or "//*." not in one]
        for url in urls:
            if url not in usable:
                _log.warning(
                    "the MCP server takes no wildcard among its allowed hosts, so it refuses "
                    "requests for %s; write "
                    "TransportSecuritySettings(enable_dns_rebinding_protection=False): the edge "
                    "lets in the token's hostnames only",
                    urlsplit(url).netloc,
                )
        if not usable:
            return False
        new_hosts = [urlsplit(one).netloc for one in usable]
        try:
            self._write("allowed_hosts", [*hosts, *new_hosts])
            self._write("allowed_origins", [*origins, *usable])
        except (AttributeError, TypeError, ValueError):  # frozen, in a version to come
            _log.warning(_ADVICE, ", ".join(new_hosts), ", ".join(usable))
            return False
        return True

    def _read(self, name: str) -> Sequence[str]:
        owner = self._owner
        found = owner[name] if isinstance(owner, dict) else getattr(owner, name)
        return tuple(found or ())

    def _write(self, name: str, values: list[str]) -> None:
        # A new list: the old one may be a constant of the user's own.
        if isinstance(self._owner, dict):
            self._owner[name] = values
        else:
            setattr(self._owner, name, values)


class _Search:
    """Walks through an app once.

    Attributes:
        guards: The lists of allowed hosts that are in force.
        paths: Where clients connect, each once.
    """

    def __init__(self, app: object) -> None:
        self.guards: list[_Guard] = []
        self.paths: list[str] = []
        self._seen: dict[int, object] = {}  # kept: an id is one object's only while it lives
        waiting: deque[tuple[object, str]] = deque([(app, "")])
        while waiting and len(self._seen) < MAX_OBJECTS:
            one, path = waiting.popleft()
            if one is None or id(one) in self._seen:
                continue
            self._seen[id(one)] = one
            if isinstance(one, list | tuple):
                waiting.extend((each, path) for each in one)
            elif not self._take_guard(one):
                waiting.extend(self._look_inside(one, path))

    def _take_guard(self, one: object) -> bool:
        """Keep a list of allowed hosts; return whether this was one."""
        names = ("allowed_hosts", "allowed_origins")
        if all(_get(one, name) is not None for name in names):
            is_on = _get(one, "enable_dns_rebinding_protection")  # of the SDK
            if is_on is not None:
                if is_on:
                    self.guards.append(_Guard(one, takes_patterns=False))
                return True
            if _get(one, "has_explicit_allowed_hosts") is not None:  # of FastMCP
                self.guards.append(_Guard(one, takes_patterns=True))
            return False  # an app is inside
        kwargs = _get(one, "kwargs")  # of FastMCP, not made yet: a mounted app
        if isinstance(kwargs, dict) and {*names, "mode"} <= kwargs.keys():
            if kwargs["mode"] == "strict" or kwargs["allowed_hosts"] is not None:
                self.guards.append(_Guard(kwargs, takes_patterns=True))
            return True
        return False

    def _look_inside(self, one: object, path: str) -> Iterator[tuple[object, str]]:
        own_path = _get(one, "path")
        if isinstance(own_path, str):
            path += own_path
        manager = _get(one, "session_manager")
        if manager is not None:
            if path not in self.paths:
                self.paths.append(path)
            yield manager, path
        if inspect.isfunction(one):
            return
        if inspect.ismethod(one):
            yield one.__self__, path
            return
        for name in _INSIDE:
            yield _get(one, name), path
        yield _get(_get(one, "_security"), "settings"), path


def _get(one: object, name: str) -> Any:
    """Return an attribute; None where there is none, or where it raises: it may be a property."""
    try:
        return getattr(one, name, None)
    except Exception:  # noqa: BLE001 - of the user's own, or the SDK's before its app is made
        return None


def _is_among(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host is in a list, alone or with any port."""
    name = host.partition(":")[0] if not host.startswith("[") else host.partition("]")[0] + "]"
    return any(one in (host, name, f"{name}:*") for one in allowed)
