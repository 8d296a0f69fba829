"""Reads and checks services: the tables of a file, or what a program gives.

Each error is one sentence with the key it is about.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import ConfigError
from .proxy.address import check_address, read_host
from .service import (
    CONNECT_TIMEOUT,
    MAX_CONNECTIONS,
    RESPONSE_TIMEOUT,
    AppTarget,
    FolderTarget,
    ProxyTarget,
    RedirectTarget,
    Service,
    StatusTarget,
    Target,
)
from .table import MAX_SERVICES

MAX_TIMEOUT: Final = 86_400.0
"""Seconds; longer is a mistake, and 0 says that there is none."""

MAX_CONNECTIONS_ALLOWED: Final = 10_000
"""Connections to one service: above it this machine's own ports run out."""

_HOSTNAME: Final = re.compile(r"(?:\*\.)?(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*").fullmatch
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+)+").fullmatch
_REPLACEMENT: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@%-]+)*").fullmatch
_HOST_FIELD: Final = re.compile(
    r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
).fullmatch
_APP: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*").fullmatch
_PIN: Final = re.compile(r"sha256:[0-9a-fA-F]{64}").fullmatch
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+").fullmatch

_REDIRECTS: Final = (301, 302, 303, 307, 308)

_COMMON: Final = frozenset({"hostname", "path", "strip", "replace"})
_KEYS: Final[dict[str, frozenset[str]]] = {
    "app": frozenset({"to", "interface", "factory"}),
    "proxy": frozenset(
        {"to", "host", "verify", "server_name", "connect_timeout", "response_timeout"}
        | {"idle_timeout", "max_connections", "allow_public"}
    ),
    "folder": frozenset({"to", "listing", "hidden"}),
    "redirect": frozenset({"redirect", "status", "keep_path"}),
    "status": frozenset({"status", "text"}),
}
KEYS: Final = _COMMON.union(*_KEYS.values())
"""Every key that a service may have."""

Given = Mapping[str, Any] | Iterable[Mapping[str, Any]]


def read_services(given: Given, *, folder: Path) -> tuple[Service, ...]:
    """Read services in order.

    Args:
        given: Tables, as in the file; or ``{"hostname/path": app | "to" | table}``.
        folder: What relative paths start from.

    Raises:
        ConfigError: One of them cannot be used; says which key, why and what to do.
    """
    tables = _as_tables(given) if isinstance(given, Mapping) else list(given)
    if len(tables) > MAX_SERVICES:
        raise ConfigError(
            "services",
            f"has more than {MAX_SERVICES} entries",
            "use a wildcard, or a second tunnel",
        )
    found: list[Service] = []
    names: set[str] = set()
    for number, table in enumerate(tables, 1):
        if not isinstance(table, Mapping):
            raise ConfigError("services", "is no list of tables", "write [[services]] above each")
        service = _Reader(table, number, folder).read()
        if service.name in names:
            raise ConfigError(
                "services",
                f"has {service.name} twice",
                "remove one of the two: the first one takes every request",
            )
        names.add(service.name)
        found.append(service)
    return tuple(found)


def _as_tables(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = []
    for name, value in given.items():
        hostname, slash, path = str(name).partition("/")
        table: dict[str, Any] = {"hostname": hostname}
        if slash:
            table["path"] = "/" + path
        if isinstance(value, Mapping):
            table.update(value)
        else:
            table["to"] = value
        tables.append(table)
    return tables


class _Reader:
    """Reads one table.

    Args:
        table: As given.
        number: Its place, from 1, for messages.
        folder: What relative paths start from.
    """

    def __init__(self, table: Mapping[str, Any], number: int, folder: Path) -> None:
        self._table = table
        self._folder = folder
        hostname = table.get("hostname")
        path = table.get("path", "")
        known = isinstance(hostname, str) and hostname and isinstance(path, str)
        self._label = f"service {hostname}{path}" if known else f"service {number}"

    def read(self) -> Service:
        """Return the service.

        Raises:
            ConfigError: As :func:`read_services`.
        """
        hostname, path = self._hostname(), self._path()
        kind, target = self._target()
        allowed = _COMMON | _KEYS[kind]
        for key in self._table:
            if key not in allowed:
                raise self._wrong(key, *self._unknown(key, kind))
        strip = self._flag("strip", default=False)
        replace = self._optional_text("replace")
        if (strip or replace is not None) and not path:
            raise self._wrong(
                "strip" if strip else "replace",
                "has no path to change",
                "add path, or leave it out",
            )
        if strip and replace is not None:
            raise self._wrong("strip", "and replace exclude each other", "keep one of them")
        if kind in ("folder", "redirect"):
            strip = bool(path) and replace is None
        if replace is not None:
            replace = replace.rstrip("/")
            if not _REPLACEMENT(replace) or "/." in replace:
                raise self._wrong("replace", "is no path", "write it like /v2, or / for nothing")
        to = self._table.get("to")
        return Service(
            hostname=hostname,
            path=path,
            target=target,
            strip=strip,
            replace=replace,
            to=to if isinstance(to, str) else "",
        )

    # -- which requests ----------------------------------------------------------------------

    def _hostname(self) -> str:
        text = self._text("hostname", "write it like photos.example.org, or * for every name")
        name = text.lower().rstrip(".")
        if name == "*":
            return name
        if "/" in name or ":" in name:
            raise self._wrong(
                "hostname",
                "is more than a name",
                'write the name alone, and what is behind it as path = "/..."',
            )
        if not name.isascii():
            raise self._wrong("hostname", "is not ASCII", "write its xn-- form")
        if len(name) > 253 or not _HOSTNAME(name):
            raise self._wrong(
                "hostname", "is no hostname", "write it like photos.example.org or *.example.org"
            )
        return name

    def _path(self) -> str:
        path = self._optional_text("path") or ""
        path = path.rstrip("/")
        if path and (not _PATH(path) or any(one in (".", "..") for one in path.split("/"))):
            raise self._wrong(
                "path", "is no path", "write it like /api: begin with a slash, leave % and ? out"
            )
        return path

    # -- what answers ------------------------------------------------------------------------

    def _target(self) -> tuple[str, Target]:
        table = self._table
        ways = [key for key in ("to", "redirect") if key in table]
        if not ways and "status" in table:
            return "status", self._status()
        if len(ways) != 1:
            why = "has both to and redirect" if ways else "does not say what answers"
            raise ConfigError(
                self._label, why, "give one of: to, redirect, or status alone for a fixed response"
            )
        if ways == ["redirect"]:
            return "redirect", self._redirect()
        to = table["to"]
        if callable(to):
            return "app", self._app("", to)
        if not isinstance(to, str) or not to:
            raise self._wrong("to", "is no text", self._examples())
        if to.startswith(("http://", "https://")):
            return "proxy", self._proxy(to)
        if to.startswith("unix:"):
            return "proxy", self._unix(to)
        if to.startswith(("/", "./", "../", "~/")) or to in (".", "..", "~"):
            return "folder", self._files(to)
        if _APP(to):
            return "app", self._app(to, None)
        raise self._wrong("to", f"is {to[:80]!r}, which nobody can go to", self._examples())

    @staticmethod
    def _examples() -> str:
        return (
            "write http://127.0.0.1:8096, unix:/run/app.sock, module:app, or a folder such as "
            "./public"
        )

    def _app(self, where: str, app: Any) -> AppTarget:
        interface = self._optional_text("interface") or "auto"
        if interface not in ("auto", "asgi", "wsgi"):
            raise self._wrong("interface", "is none of asgi, wsgi and auto", "leave it out")
        return AppTarget(
            where=where, app=app, interface=interface, factory=self._flag("factory", default=False)
        )

    def _proxy(self, to: str) -> ProxyTarget:
        try:
            url = urlsplit(to)
            host, port = url.hostname or "", url.port
        except ValueError:
            raise self._wrong("to", "is no URL", self._examples()) from None
        if "@" in url.netloc or not _VISIBLE(to) or "\\" in to:
            raise self._wrong(
                "to", "has more than host and port in front of its path", self._examples()
            )
        if url.query or url.fragment or url.path not in ("", "/"):
            raise self._wrong(
                "to",
                "has a path behind the port",
                'leave it out, and write replace = "/..." for what the service sees',
            )
        if port == 0:
            raise self._wrong("to", "has the port 0", self._examples())
        allow_public = self._flag("allow_public", default=False)
        address = read_host(host, f"{self._label}: to")
        if address is not None:
            check_address(address, f"{self._label}: to", allow_public=allow_public)
        return self._proxy_target(
            scheme=url.scheme,
            host=host,
            port=port or (443 if url.scheme == "https" else 80),
            allow_public=allow_public,
        )

    def _unix(self, to: str) -> ProxyTarget:
        path = to.removeprefix("unix:").removeprefix("//")
        if not path.startswith(("/", "./", "~/")):
            raise self._wrong("to", "names no socket", "write it like unix:/run/app.sock")
        if not hasattr(socket, "AF_UNIX"):
            raise self._wrong(
                "to", "is a Unix socket, which this system does not have", "use http://127.0.0.1"
            )
        return self._proxy_target(
            scheme="unix", host="localhost", port=0, socket=str(self._absolute(path))
        )

    def _proxy_target(self, **values: Any) -> ProxyTarget:
        host = self._optional_text("host") or ""
        if host and not _HOST_FIELD(host):
            raise self._wrong(
                "host", "is no name with or without a port", "write it like localhost"
            )
        verify = self._table.get("verify", True)
        if isinstance(verify, str) and not _PIN(verify):
            verify = str(self._absolute(verify))
        if not isinstance(verify, bool | str):
            raise self._wrong("verify", "is neither true, false nor text", "leave it out")
        server_name = self._optional_text("server_name") or ""
        if values["scheme"] != "https":
            for key in ("verify", "server_name"):
                if key in self._table:
                    raise self._wrong(key, "is about TLS, and to is not https://", "leave it out")
        return ProxyTarget(
            **values,
            send_host=host,
            verify=verify,
            server_name=server_name,
            connect_timeout=self._seconds("connect_timeout", CONNECT_TIMEOUT, least=0.1),
            response_timeout=self._seconds("response_timeout", RESPONSE_TIMEOUT),
            idle_timeout=self._seconds("idle_timeout", 0.0),
            max_connections=self._count(
                "max_connections", MAX_CONNECTIONS, most=MAX_CONNECTIONS_ALLOWED
            ),
        )

    def _files(self, to: str) -> FolderTarget:
        folder = self._absolute(to)
        if not folder.is_dir():
            raise self._wrong(
                "to", f"names {folder}, which is no folder", "create it, or correct it"
            )
        return FolderTarget(
            folder=str(folder),
            listing=self._flag("listing", default=False),
            hidden=self._flag("hidden", default=False),
        )

    def _redirect(self) -> RedirectTarget:
        url = self._text("redirect", "write it like https://www.example.org")
        is_place = url.startswith(("http://", "https://")) or (
            url.startswith("/") and not url.startswith("//")
        )
        if not is_place or not _VISIBLE(url) or "\\" in url:
            raise self._wrong("redirect", "is no URL", "write it like https://www.example.org")
        status = self._table.get("status", 308)
        if status not in _REDIRECTS or isinstance(status, bool):
            raise self._wrong("status", "is no redirect", f"write one of {_REDIRECTS}")
        keep_path = self._flag("keep_path", default=True)
        if keep_path and ("?" in url or "#" in url):
            raise self._wrong(
                "redirect", "has a query, and the path is added behind it", "add keep_path = false"
            )
        return RedirectTarget(url=url, status=status, keep_path=keep_path)

    def _status(self) -> StatusTarget:
        status = self._count("status", 404, least=200, most=599)
        return StatusTarget(status=status, text=self._optional_text("text") or "")

    # -- values ------------------------------------------------------------------------------

    def _absolute(self, path: str) -> Path:
        return (self._folder / Path(path).expanduser()).resolve()

    def _text(self, key: str, fix: str) -> str:
        value = self._table.get(key)
        if not isinstance(value, str) or not value:
            why = "is missing" if key not in self._table else "is no text"
            raise self._wrong(key, why, fix)
        return value

    def _optional_text(self, key: str) -> str | None:
        value = self._table.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "is no text", "write it in quotes")
        return value

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._table.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "is neither true nor false", "write one of the two, no quotes")
        return value

    def _seconds(self, key: str, default: float, *, least: float = 0.0) -> float:
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "is no number", f"write seconds, such as {default:g}")
        if not least <= value <= MAX_TIMEOUT:
            raise self._wrong(
                key, f"is not between {least:g} and {MAX_TIMEOUT:g} seconds", "leave it out"
            )
        return float(value)

    def _count(self, key: str, default: int, *, least: int = 1, most: int) -> int:
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._wrong(key, f"is no number from {least} to {most}", "correct it")
        return value

    def _unknown(self, key: str, kind: str) -> tuple[str, str]:
        if key in KEYS:
            return "does not fit what answers here", f"leave it out: a {kind} does not use it"
        import difflib  # costs a millisecond, and most files are right

        near = difflib.get_close_matches(key, KEYS, n=1)
        return "is no key of a service", f"write {near[0]}" if near else "leave it out"

    def _wrong(self, key: str, why: str, fix: str) -> ConfigError:
        return ConfigError(f"{self._label}: {key}", why, fix)
