"""``Services``: an ASGI app that hands each request to the service its hostname and path name.

It is an app like any other: it works inside :class:`asgi_tunnel.Tunnel`, with ``asgi-tunnel run``,
and under a server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, unquote

from ..asgi.types import (
    ASGIApp,
    DirectStream,
    Receive,
    Scope,
    Send,
    StreamLink,
    StreamOwner,
)
from ..names import ServedNames
from ..protocol.events import StreamOpened
from .entry import Entry
from .file import load_file
from .proxy.direct import begin_direct, find_target
from .reply import refuse
from .service import Service
from .settings import Given, read_services
from .table import Match, Table, has_dot_segments, read_hostname
from .watch import FileWatch

__all__ = ["Services"]

_log = logging.getLogger("asgi_tunnel.services")

STARTUP_TIMEOUT: Final = 10.0
"""Seconds that the others wait for an app's startup: then they serve, and it answers 503."""

DRAIN_TIMEOUT: Final = 30.0
"""Seconds for requests to an app that was taken out of the table, before its shutdown runs; the
grace of a restart is as long."""


class Services:
    """Several services as one ASGI app.

    Args:
        services: ``{"photos.example.org": "http://127.0.0.1:2342", "shop.example.org/api": app}``,
            or a list of tables as in the file (docs/howto/services.md).
        default: An app for what no service takes; None: those requests get 404.

    Raises:
        ConfigError: A service cannot be used so.
    """

    def __init__(self, services: Given = (), *, default: ASGIApp | None = None) -> None:
        read = read_services(services, folder=Path.cwd())
        if default is not None:
            read = (*read, *read_services({"*": {"to": default}}, folder=Path.cwd()))
        self._entries: dict[str, Entry] = {}
        self._table = Table()
        self._served_names = ServedNames()
        self._served_names.describe = self._describe
        self._use(read)
        self._watch: FileWatch | None = None
        self._starting: asyncio.Task[None] | None = None  # or it is done; None: not begun
        self._is_started = False
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # entries on their way out, and the watch

    @classmethod
    def from_file(cls, path: str | Path, *, watch: bool = True) -> Self:
        """Return the services of a file.

        Args:
            path: ``asgi-tunnel.toml``, ``pyproject.toml``, or a file like the first one.
            watch: Follow its changes while the app runs.

        Raises:
            ConfigError: The file cannot be read or used.
        """
        path = Path(path).absolute()
        file_watch = FileWatch(path)
        found = cls()
        found._use(load_file(path))
        if watch:
            found._watch = file_watch
        return found

    @property
    def services(self) -> tuple[Service, ...]:
        """The services as they are now, in order."""
        return self._table.services

    @property
    def served_names(self) -> ServedNames:
        """The hostnames of the table, for the tunnel that serves it."""
        return self._served_names

    @property
    def served_apps(self) -> list[ASGIApp]:
        """What serves the services now, for who looks into apps."""
        return [one.app for one in self._entries.values()]

    async def replace(self, services: Given) -> None:
        """Change the table while it serves.

        Apps that are new are started first; requests in progress end on the services that they
        began on; what is equal keeps running.

        Raises:
            ConfigError: A service cannot be used so; then nothing changes.

        Cancelling it leaves the old table.
        """
        await self._replace(read_services(services, folder=Path.cwd()))

    async def _replace(self, read: tuple[Service, ...]) -> None:
        async with self._changing:
            if self._starting is None:
                self._use(read)
                return
            entries: dict[str, Entry] = {}
            for one in read:
                old = self._entries.get(one.name)
                entries[one.name] = old if old is not None and old.service == one else Entry(one)
            new = [one for name, one in entries.items() if self._entries.get(name) is not one]
            try:
                await _start(new)
            except BaseException:
                for entry in new:
                    self._leave(entry)
                raise
            gone = [one for name, one in self._entries.items() if entries.get(name) is not one]
            self._entries, self._table = entries, Table(read)
            self._served_names.replace([one.hostname for one in read])
            if self._served_names.on_apps is not None:
                self._served_names.on_apps()
            for entry in gone:
                self._leave(entry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call.  Cancelling it cancels what serves it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if not self._is_started:
            await self._start()  # a server that sends no lifespan
        hostname = read_hostname(scope["headers"])
        if hostname is None:
            await refuse(scope, receive, send, 400, "the request has no Host of use, or several")
            return
        raw_path, root_path = _path(scope)
        match = self._table.find(hostname, raw_path)
        if match is None:
            await refuse(scope, receive, send, 404, "no service has this name and path")
            return
        if match.service.path and has_dot_segments(raw_path):
            await refuse(scope, receive, send, 400, "the path has . or .. in it")
            return
        entry = self._entries[match.service.name]
        entry.begin_exchange()
        try:
            await entry.app(_inner_scope(scope, match, raw_path, root_path), receive, send)
        finally:
            entry.end_exchange()

    def serve_stream(
        self, link: StreamLink, event: StreamOpened, owner: StreamOwner
    ) -> DirectStream | None:
        """Hand a request to a local service without a call; see :data:`..asgi.types.ServeStream`.

        Only what is simple: for everything else, and every refusal, the app is called.
        """
        if not self._is_started:
            return None
        found = find_target(self._table, event.head)
        if found is None:
            return None
        service, target, root_path = found
        proxy = self._entries[service.name].proxy
        if proxy is None:
            return None
        return begin_direct(proxy, link, event, owner, target, root_path)

    def _describe(self) -> list[dict[str, object]]:
        """What each service is and does now, for `asgi-tunnel status`."""
        return [self._entries[one.name].describe() for one in self.services]

    # -- life --------------------------------------------------------------------------------

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        """Start all, once; who comes meanwhile waits, and ends nothing by leaving."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start_all())
        await asyncio.shield(self._starting)

    async def _start_all(self) -> None:
        await _start(list(self._entries.values()))
        self._is_started = True
        if self._watch is not None:
            self._spawn(self._follow(self._watch), "asgi-tunnel services file")

    async def _stop(self) -> None:
        self._is_started = False
        starting, self._starting = self._starting, None
        if starting is not None and not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
        leaving = list(self._tasks)
        for task in leaving:
            task.cancel()  # those that leave the table stop at once
        entries = list(self._entries.values())
        await asyncio.gather(*(one.stop() for one in entries))
        if leaving:
            await asyncio.wait(leaving)
        # Started again, as under `testing.LocalEdge`, it begins anew.
        self._entries = {one.service.name: Entry(one.service) for one in entries}

    def _use(self, services: tuple[Service, ...]) -> None:
        self._entries = {one.name: Entry(one) for one in services}
        self._table = Table(services)
        self._served_names.replace([one.hostname for one in services])

    def _leave(self, entry: Entry) -> None:
        self._spawn(entry.leave(DRAIN_TIMEOUT), f"asgi-tunnel leaving {entry.service.name}")

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, watch: FileWatch) -> None:
        """Take each change of the file; a file that cannot be used changes nothing."""
        async for services, error in watch.changes():
            if services is None:
                _log.error("%s; the services stay as they were", error)
                continue
            before = {one.name for one in self.services}
            try:
                await self._replace(services)
            except Exception:  # noqa: BLE001 - the outer edge; the next change is followed as well
                _log.exception("%s cannot be used; the services stay as they were", watch.path)
                continue
            after = {one.name for one in services}
            _log.info(
                "%s changed: %d services%s%s",
                watch.path.name,
                len(services),
                _listed("; new: ", after - before),
                _listed("; gone: ", before - after),
            )


async def _start(entries: Iterable[Entry]) -> None:
    """Start entries and wait until each was tried, or for the time that others wait."""
    started = [asyncio.ensure_future(one.start()) for one in entries if one.has_startup]
    if not started:
        return
    try:
        await asyncio.wait(started, timeout=STARTUP_TIMEOUT)
    finally:
        for one in started:
            one.cancel()


def _listed(label: str, names: set[str]) -> str:
    shown = sorted(names)[:5]
    return label + ", ".join(shown) + (", ..." if len(names) > 5 else "") if names else ""


# -- the scope -------------------------------------------------------------------------------------


def _path(scope: Scope) -> tuple[bytes, str]:
    """Return the path below the root as it was sent, and the root."""
    root_path = scope.get("root_path", "")
    raw_path = scope.get("raw_path")
    if raw_path is None:  # not every server has it
        raw_path = quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    if root_path:
        raw_path = raw_path.removeprefix(root_path.encode())
    return raw_path, root_path


def _inner_scope(scope: Scope, match: Match, raw_path: bytes, root_path: str) -> Scope:
    """Return the scope that a service sees: where a path is to be rewritten, a copy.

    ASGI has the root in the path as well: ``path`` is ``root_path`` and what is behind it.
    """
    service = match.service
    is_rewritten = root_path or service.strip or service.replace is not None
    if not is_rewritten and "root_path" in scope and scope.get("raw_path") is not None:
        return scope
    inner = dict(scope)
    path = raw_path
    if service.strip:
        # As the table writes it: `/%61pi` is the same place.
        path = service.path.encode() + match.rest
        inner["root_path"] = root_path + service.path
    elif service.replace is not None:
        path = service.replace.encode() + match.rest or b"/"
    inner["raw_path"] = root_path.encode() + path
    if path is not raw_path:
        inner["path"] = root_path + unquote(path.decode("utf-8", "replace"))
    inner.setdefault("root_path", "")
    return inner
