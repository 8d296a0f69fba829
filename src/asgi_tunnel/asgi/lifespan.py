"""Runs an app's lifespan: startup before the first request, shutdown after the last."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from enum import Enum, auto
from typing import Any, Final

from .adapt import as_single_callable
from .types import ASGIApp, Message

_log = logging.getLogger("asgi_tunnel.lifespan")

IS_TUNNELLED: Final = contextvars.ContextVar("asgi_tunnel.is_tunnelled", default=False)
"""True in every call of an app that comes from this driver: its tunnel is there already, and a
:class:`asgi_tunnel.Tunnel` somewhere inside the app opens no second one."""


def tunnelled(context: contextvars.Context | None = None) -> contextvars.Context:
    """Return a copy of a context, by default of the current one, for calls of an app.

    What was set at import, such as context variables and ``decimal.getcontext().prec``, is there
    as under a server.
    """
    copied = contextvars.copy_context() if context is None else context.copy()
    copied.run(IS_TUNNELLED.set, True)
    return copied


RETURN_TIMEOUT: Final = 2.0
"""Seconds between the app's last word and its return; then it is cancelled."""


class LifespanError(Exception):
    """The app said that it could not start, or raised after it had taken part."""


class Phase(Enum):
    """How far the lifespan is."""

    STARTING = auto()  # startup was sent, no response yet
    STARTED = auto()  # startup.complete
    FAILED = auto()  # startup.failed
    STOPPING = auto()  # shutdown was sent
    STOPPED = auto()  # shutdown.complete or shutdown.failed
    UNSUPPORTED = auto()  # the app raised or returned without a word


_NO_LIFESPAN: Final = ("connections, not lifespan", "for scope type 'lifespan'")
"""What Django and Channels say."""


def log_startup_error(error: BaseException) -> None:
    """Log that an app is served although its lifespan raised before it said anything.

    Django and Channels raise on the scope, and name it: they have no lifespan, which is no error.
    """
    if isinstance(error, NotImplementedError) or any(one in str(error) for one in _NO_LIFESPAN):
        _log.debug("the app has no lifespan: %s: %s", type(error).__name__, error)
    else:
        _log.warning(
            "the app's startup raised, and the app is served without it: %s: %s",
            type(error).__name__,
            error,
            exc_info=error,
        )


class Lifespan:
    """The one lifespan call of an app.

    Attributes:
        state: What the app keeps for its requests; stays empty when it has no lifespan.
    """

    def __init__(self, app: ASGIApp, *, required: bool = False) -> None:
        self._app = as_single_callable(app)
        self._required = required
        self._phase = Phase.STARTING
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._why = ""
        self._error: BaseException | None = None  # raised in place of a word about the startup
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Start the app and wait until it is ready.

        Raises:
            LifespanError: The app sent ``lifespan.startup.failed``; or it has no lifespan and one
                is required.

        Cancelling it cancels the app's startup.
        """
        self._inbox.put_nowait({"type": "lifespan.startup"})
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name="asgi-tunnel lifespan", context=tunnelled())
        try:
            await self._changed.wait()
        except BaseException:
            self._task.cancel()
            raise
        if self._phase is Phase.FAILED:
            raise LifespanError(self._why or "the app's startup failed")
        if self._phase is Phase.UNSUPPORTED:
            if self._required:
                raise LifespanError(f"the app has no lifespan: {self._why}")
            if self._error is not None:
                log_startup_error(self._error)

    async def shutdown(self) -> None:
        """Tell the app to end and wait until it has.

        Raises:
            LifespanError: The app sent ``lifespan.shutdown.failed``.

        Cancelling it cancels the app's shutdown.
        """
        # An app may leave its lifespan after startup.complete: then nobody takes the message.
        if self._phase is not Phase.STARTED or self._task is None or self._task.done():
            return
        self._phase = Phase.STOPPING
        self._changed.clear()
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        try:
            await self._changed.wait()
            await asyncio.wait([self._task], timeout=RETURN_TIMEOUT)
        finally:
            self._task.cancel()
        if self._why:
            raise LifespanError(self._why)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._inbox.get, self._send)
        except asyncio.CancelledError as error:
            if self._task is not None and self._task.cancelling():
                raise
            self._raised(error)
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the task's outer edge: it is told or logged
            self._raised(error)
        if self._phase is Phase.STARTING:
            self._why = self._why or "the app returned from it at once"
            self._set(Phase.UNSUPPORTED)
        elif self._phase is Phase.STOPPING:
            self._set(Phase.STOPPED)

    def _raised(self, error: BaseException) -> None:
        """Note what came out of the app; after ``.failed`` it was told already."""
        if self._phase is Phase.STARTING:
            self._error = error
            self._why = f"{type(error).__name__}: {error}"
        elif self._phase in (Phase.STARTED, Phase.STOPPING):
            _log.error("the app's lifespan failed", exc_info=error)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        step = _STEPS.get((self._phase, kind))
        if step is None:
            raise RuntimeError(f"the app sent {kind!r} while its lifespan was {self._phase.name}")
        if kind.endswith(".failed"):
            self._why = str(message.get("message", "")) or f"the app sent {kind}"
        self._set(step)

    def _set(self, phase: Phase) -> None:
        self._phase = phase
        self._changed.set()


_STEPS = {
    (Phase.STARTING, "lifespan.startup.complete"): Phase.STARTED,
    (Phase.STARTING, "lifespan.startup.failed"): Phase.FAILED,
    (Phase.STOPPING, "lifespan.shutdown.complete"): Phase.STOPPED,
    (Phase.STOPPING, "lifespan.shutdown.failed"): Phase.STOPPED,
}
