"""``Tunnel``: wraps an app and opens its tunnel when the app is ready.

Nothing happens when it is made: servers import apps in processes that never serve (reloaders,
masters that fork).  What happens on lifespan is here; frames are not.

Large because a tunnel is opened in several ways, by lifespan, by hand or late, by one object.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .asgi.adapt import as_single_callable
from .asgi.lifespan import IS_TUNNELLED
from .asgi.lifespan_relay import refuse_startup, serve_lifespan
from .asgi.types import ASGIApp, Message, Receive, Send
from .config import TOKEN, TunnelConfig
from .errors import ConfigError, TunnelError
from .inbox import rules_of
from .loading import display_name
from .logs import ensure_handler
from .mcp import allow_public_hosts
from .names import names_of
from .outermost import daphne_application, find_outermost, is_below_daphne

if TYPE_CHECKING:
    from .connector import Connector
    from .inspector.settings import GivenInspect
    from .policy.rule import EdgePolicy
    from .services.settings import Given

__all__ = ["Tunnel", "TunnelMiddleware", "abort_at_end", "open_beside_daphne", "wait_connected"]

_log = logging.getLogger("asgi_tunnel.middleware")

REQUIRED_TIMEOUT: Final = 20.0
"""Seconds in which a required tunnel has to be open; servers give a startup 30 (gunicorn) or 60
(hypercorn)."""


_NOT_SEEN: Final = (
    "cannot see which app the server calls, and what is wrapped around it, such as a login, must "
    "not be passed by"
)
_MOUNTED: Final = "names paths, and what is around the Tunnel may serve it below another one"
_OUTERMOST: Final = (
    "put it outermost, app = Tunnel(app), or use `asgi-tunnel run`; where nothing is around it and "
    "the server is not known, say so: Tunnel(app, outermost=True)"
)


class Tunnel:
    """An ASGI app that serves another one, locally as ever and through its tunnel.

    Use it as ``app = Tunnel(app)``, or ``app.add_middleware(TunnelMiddleware)``.

    Args:
        app: The app to wrap; None where ``services`` says what is served.
        services: Several services behind one tunnel, as :class:`asgi_tunnel.Services` takes them;
            then ``app`` gets what no service takes.
        token: The tunnel's token; by default ``ASGI_TUNNEL_TOKEN``, or the file that
            ``ASGI_TUNNEL_TOKEN_FILE`` names.
        enabled: False never opens a tunnel.  By default it is opened when there is a token,
            except under pytest.  True opens it there as well.
        required: The app starts when its tunnel is open: not without a token, with one that is
            refused, or when the edge is out of reach for ``REQUIRED_TIMEOUT``.  By default it
            starts at once, serves locally, and the log says what is wrong.
        connections: Connections kept to the edge, 1 to 8.
        grace: Seconds that requests in progress get when the app ends.
        root_path: Put before each path, when the app is mounted below one.
        hostnames: Those of the token's hostnames that this process serves; by default all.
        inbox: Routes whose requests the edge keeps while the app is away, such as
            ``POST /hooks/stripe``, beside those of handlers that :mod:`asgi_tunnel.inbox` marks.
        plaintext_host: The one host, besides loopback, that may be dialed without TLS.
        inspect: What is recorded of exchanges, to be looked at: "metadata", "full", or more as an
            :class:`asgi_tunnel.Inspect`; by default ``ASGI_TUNNEL_INSPECT``, or nothing.
        spec_version: "2.3", or "2.4" to make ``send()`` raise after an HTTP disconnect.
        policy: What the edge is to refuse, by path: ``{"POST /login": edge(rate="5/minute")}``, of
            :func:`asgi_tunnel.policy.edge`; beside what is decorated, and before it.
        routes: The edge replies 404 to paths that no route of the app has, for apps whose routes
            can be read; by default ``ASGI_TUNNEL_ROUTES``, or off.
        outermost: Says that the server calls this object and nothing around it; only for a server
            that is not known (``outermost.SERVERS``), where it cannot be seen.

    An app that leaves the start to its server learns nothing here: what is wrong with a required
    tunnel becomes ``lifespan.startup.failed``.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        app: ASGIApp | None = None,
        *,
        services: Given | None = None,
        token: str | None = None,
        enabled: bool | None = None,
        required: bool = False,
        connections: int | None = None,
        grace: float | None = None,
        root_path: str | None = None,
        hostnames: Sequence[str] | None = None,
        inbox: Sequence[str] | None = None,
        plaintext_host: str | None = None,
        inspect: GivenInspect | None = None,
        spec_version: str = "2.3",
        policy: Mapping[str, EdgePolicy] | None = None,
        routes: bool = False,
        outermost: bool = False,
    ) -> None:
        self.policy_table = _checked(policy)  # read, as the next one, by `policy.collect`
        self.sends_routes = routes
        self.app = _with_services(app, services)
        self._enabled = enabled
        self._required = required
        self._is_outermost = outermost
        self._settings: dict[str, Any] = {
            "token": token,
            "connections": connections,
            "grace": grace,
            "root_path": root_path,
            "hostnames": hostnames,
            "inbox": inbox,
            "plaintext_host": plaintext_host,
            "inspect": inspect,
            "spec_version": spec_version,
        }
        # Where there is no lifespan; the first request's own must not reach others.
        self._context = contextvars.copy_context()
        self._has_lifespan = False
        self._connector: Connector | None = None
        self._guard: asyncio.Task[None] | None = None
        if is_below_daphne():
            self._has_lifespan = True  # as good as
            self._start_in_thread()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one call: the lifespan with the tunnel around it, everything else as it is."""
        if scope["type"] == "lifespan":
            self._has_lifespan = True
            await self._lifespan(scope, receive, send)
            return
        if not self._has_lifespan:
            self._has_lifespan = True
            if not IS_TUNNELLED.get():
                await self._start_late()
        await self.app(scope, receive, send)

    # -- for a framework that is not wrapped ---------------------------------------------------

    async def open(self) -> None:
        """Open the tunnel; called at the end of the app's startup, in the server's call of it.

        Nothing happens without a token, or where the app's runner has opened the tunnel.

        Raises:
            ConfigError: A tunnel is required, and cannot be opened so.
            TunnelError: It is required, and the edge refuses the app or is not reached.

        Cancelling it opens none.
        """
        plan = None if IS_TUNNELLED.get() else self._plan()
        if plan is None:
            return
        config, origin_app = plan
        connector = self._start(config, origin_app, {}, contextvars.copy_context())
        if self._required and connector is not None:
            try:
                await wait_connected(connector)
            except BaseException:
                self.abort()
                raise

    async def close(self) -> None:
        """Drain and end the tunnel; called before the app's shutdown.

        Cancelling it ends what is in progress at once.
        """
        try:
            await self._stop()
        finally:
            self.abort()

    def abort(self) -> None:
        """End the tunnel at once, if it is open."""
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.abort()

    # -- lifespan ----------------------------------------------------------------------------

    async def _lifespan(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        try:
            # A runner of ours that serves the app opens the tunnel itself.
            plan = None if IS_TUNNELLED.get() else self._plan()
        except ConfigError as error:
            await refuse_startup(receive, send, str(error))
            return
        if plan is None:
            await self.app(scope, receive, send)
            return
        config, origin_app = plan
        if "state" not in scope:
            scope = {**scope, "state": {}}  # Starlette raises when a stateful lifespan has none
        state = scope["state"]
        context = contextvars.copy_context()  # without what the app sets in its lifespan
        refusal = ""
        is_told = False

        async def receive_and_stop() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._stop()
            return message

        async def start_and_send(message: Message) -> None:
            nonlocal refusal, is_told
            if message["type"] == "lifespan.startup.complete":
                try:
                    connector = self._start(config, origin_app, state, context)
                    if self._required and connector is not None:
                        await wait_connected(connector)
                except TunnelError as error:
                    refusal = f"asgi-tunnel: {error}"
                    raise  # into the app, which ends what it has started
            elif message["type"] == "lifespan.startup.failed" and refusal:
                message = {**message, "message": refusal}
                is_told = True
            await send(message)

        try:
            await serve_lifespan(self.app, scope, receive_and_stop, start_and_send)
        except Exception:
            if not refusal or is_told:
                raise
            await send({"type": "lifespan.startup.failed", "message": refusal})
        finally:
            # The server cancelled the lifespan, or the app left it early: nothing may stay.
            self.abort()

    def _plan(self) -> tuple[TunnelConfig, ASGIApp] | None:
        """Return the settings and the app to call, or None when no tunnel is to be opened.

        Raises:
            ConfigError: A tunnel is required, and cannot be opened so.
        """
        config = self._config()
        if config is None:
            return None
        app = self._find_origin()
        if app is not None:
            return config, app
        error = ConfigError("Tunnel", _NOT_SEEN, _OUTERMOST)
        if self._required:
            raise error
        ensure_handler()
        _log.error("no tunnel: %s", error)
        return None

    def _find_origin(self) -> ASGIApp | None:
        """Return what relayed requests go to: the app that the server calls, wrappers included.

        Never only the app inside: what is wrapped around this object may be a login.
        """
        if self._is_outermost:
            return self.app
        found = find_outermost()
        if found is None:
            return None
        return self.app if found is self else as_single_callable(found)

    def _start_in_thread(self) -> None:
        """Open the tunnel beside a server that sends no lifespan, once it serves."""
        try:
            config = self._config()
        except ConfigError as error:
            ensure_handler()
            _log.error("no tunnel, although one is required: %s", error)
            return
        if config is not None:
            open_beside_daphne(config, display_name(self.app))

    def _start(
        self,
        config: TunnelConfig,
        app: ASGIApp,
        state: dict[str, Any] | None,
        context: contextvars.Context,
    ) -> Connector | None:
        """Open the tunnel.

        Raises:
            ConfigError: It is required, and the edge cannot be told the app's policy.
        """
        from .asgi.origin import Origin
        from .connector import Connector
        from .policy.collect import collect

        ensure_handler()
        if not _is_asyncio():
            _log.error("the tunnel needs asyncio; this server runs another event loop")
            return None
        try:
            policy = collect(app, inner=self, sends_routes=config.sends_routes)
        except ConfigError as error:
            if self._required:
                raise
            _log.error("no tunnel: %s", error)
            return None
        origin = Origin(
            app,
            state=state,
            root_path=config.root_path,
            spec_version=config.spec_version,
            context=context,
        )
        connector = self._connector = Connector(
            config,
            origin,
            name=display_name(app),
            served=names_of(self.app),
            inbox=rules_of(app, config.inbox),
            policy=policy,
        )
        connector.on_urls = functools.partial(allow_public_hosts, app)
        connector.start()
        return connector

    async def _stop(self) -> None:
        if self._connector is not None:
            await self._connector.stop()
            self._connector = None

    async def _start_late(self) -> None:
        """The first request came and there was no lifespan: a server, or a mount, without one."""
        try:
            plan = self._plan()
        except ConfigError as error:
            _log.error("no tunnel, although one is required: %s", error)
            return
        if plan is None:
            return
        config, origin_app = plan
        ensure_handler()
        if self.policy_table and origin_app is not self.app:
            _log.error(
                "no tunnel: %s", ConfigError("Tunnel(app, policy=...)", _MOUNTED, _OUTERMOST)
            )
            return
        _log.warning(
            "this server sent no lifespan, or the app is mounted below another one; the tunnel is "
            "opened with the first request. Wrap the outermost app, or use `asgi-tunnel run`"
        )
        try:
            connector = self._start(config, origin_app, None, self._context)
        except ConfigError as error:
            _log.error("no tunnel, although one is required: %s", error)
            return
        if connector is not None:
            self._guard = asyncio.get_running_loop().create_task(
                abort_at_end(connector), name="asgi-tunnel guard", context=contextvars.Context()
            )

    def _config(self) -> TunnelConfig | None:
        """Return the settings, or None when no tunnel is wanted.

        Raises:
            ConfigError: The configuration is wrong and a tunnel is required.
        """
        if self._enabled is False:
            return None
        if self._enabled is None and _is_under_pytest():
            ensure_handler()
            _log.info("no tunnel: pytest is running; Tunnel(app, enabled=True) opens one there")
            return None
        try:
            config = TunnelConfig.from_env(**self._settings)
            if config is None and (self._required or self._enabled):
                raise ConfigError(
                    TOKEN, "is not set", "create one with `asgi-tunnel-edge token create`"
                )
        except ConfigError as error:
            if self._required:
                raise
            ensure_handler()
            _log.error("no tunnel: %s", error)
            return None
        if config is None:
            ensure_handler()
            _log.info("no tunnel: %s is not set; the app is served locally only", TOKEN)
        return config


TunnelMiddleware = Tunnel


_daphne_tunnels: Final[list[object]] = []
"""The one tunnel of a process of Daphne."""


def open_beside_daphne(config: TunnelConfig, name: str) -> None:
    """Open the tunnel of a process of Daphne, once it serves; a second call changes nothing.

    Several apps of one module may ask for it, and Daphne serves one.

    Args:
        config: The settings.
        name: What the log calls the app.
    """
    if not _daphne_tunnels:
        from .thread import start_with

        _daphne_tunnels.append(start_with(_find_daphne_app, config, name))


def _checked(policy: Mapping[str, EdgePolicy] | None) -> dict[str, EdgePolicy]:
    """Return the table of rules.

    Raises:
        ConfigError: It cannot be used so.
    """
    if not policy:
        return {}
    from .policy.collect import check_table

    return check_table(policy)


def _with_services(app: ASGIApp | None, services: Given | None) -> ASGIApp:
    """Return what is served.

    Raises:
        ConfigError: It is nothing, or a service cannot be used so.
    """
    if services is not None:
        from .services.app import Services

        return Services(services, default=app)
    if app is None:
        raise ConfigError("Tunnel", "has nothing to serve", "write Tunnel(app), or services={...}")
    return as_single_callable(app)


def _find_daphne_app() -> ASGIApp | None:
    app = daphne_application()
    return None if app is None else as_single_callable(app)


async def abort_at_end(connector: Connector) -> None:
    """Say goodbye when the event loop ends: no lifespan will tell.

    Without it the edge would keep the session, and its visitors waiting, for the resume window.
    """
    try:
        await asyncio.Event().wait()
    finally:
        connector.abort()
        await connector.part()


async def wait_connected(connector: Connector) -> None:
    """Return when the tunnel is open.

    Raises:
        TunnelError: The edge refuses the app, or is not reached in ``REQUIRED_TIMEOUT``.
    """
    refused: asyncio.Future[TunnelError] = asyncio.get_running_loop().create_future()

    def on_refused(error: TunnelError) -> None:
        if not refused.done():
            refused.set_result(error)

    connector.on_refused = on_refused
    connected = asyncio.ensure_future(connector.wait_connected())
    either: set[asyncio.Future[Any]] = {connected, refused}
    try:
        done, _ = await asyncio.wait(
            either, timeout=REQUIRED_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        connected.cancel()
        connector.on_refused = None
    if refused.done():
        raise refused.result()
    if not done:
        raise TunnelError(f"the edge was not reached in {REQUIRED_TIMEOUT:g} s")


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_under_pytest() -> bool:
    """Whether pytest runs in this process; an app may import it without running it."""
    running = "PYTEST_VERSION" in os.environ or "PYTEST_CURRENT_TEST" in os.environ
    return running and "pytest" in sys.modules
