"""Makes the tunnel's own lines visible, without touching how the app logs."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

NAME: Final = "asgi_tunnel"


class _OwnHandler(logging.StreamHandler[Any]):
    """Writes to stderr as long as nothing else would."""


class _Kept:
    """What the classes of our loggers have in addition.

    ``logging.config.dictConfig`` and ``fileConfig`` disable, by default, each logger that was
    there before: an app that configures its own logging so would silence the URL, refusals and
    its own tracebacks.  Levels and handlers that an app sets count; this side effect does not.
    """

    handlers: list[logging.Handler]
    __dict__: dict[str, Any]

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Not taken over."""

    @property
    def propagate(self) -> bool:
        # Never twice: while our handler is there, no other one gets the line.  It goes when the
        # app configures this logger.
        own = any(isinstance(one, _OwnHandler) for one in self.handlers)
        return not own and bool(self.__dict__.get("propagate", True))

    @propagate.setter
    def propagate(self, value: bool) -> None:
        self.__dict__["propagate"] = value


def ensure_handler() -> None:
    """Write INFO lines to stderr when nothing else would.

    uvicorn configures its own loggers only, so an INFO of ours would be lost, and with it the URL.
    Handlers that an app configured are used, and so is a level set here.  May be called again, when
    the app may have configured logging in the meantime.
    """
    logger = logging.getLogger(NAME)
    for name, one in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(one, logging.Logger) and (name + ".").startswith(NAME + "."):
            _keep(one)
    if not logger.hasHandlers():
        handler = _OwnHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s:     asgi-tunnel: %(message)s"))
        logger.addHandler(handler)
    if logger.level == logging.NOTSET and logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)


def fatal(
    logger: logging.Logger, message: str, *values: object, cause: BaseException | None = None
) -> None:
    """Log why the process ends; write it to stderr too when logging does not.

    Args:
        logger: Gets it as an error.
        message: With a place for each value.
        values: As of a logging call.
        cause: Its traceback follows.
    """
    logger.error(message, *values, exc_info=cause)
    make_seen(logger, message, *values, cause=cause)


def make_seen(
    logger: logging.Logger, message: str, *values: object, cause: BaseException | None = None
) -> None:
    """Write to stderr what was logged as an error, when logging does not; as :func:`fatal`."""
    if _reaches_stderr(logger):
        return
    stream = sys.stderr
    if stream is None:
        return
    text = message % values if values else message
    print(f"asgi-tunnel: {text}", file=stream)
    if cause is not None:
        import traceback

        traceback.print_exception(cause, file=stream)


def _keep(logger: logging.Logger) -> None:
    kind = type(logger)
    if not issubclass(kind, _Kept):
        logger.__class__ = type(kind.__name__, (_Kept, kind), {})


def _reaches_stderr(logger: logging.Logger) -> bool:
    if not logger.isEnabledFor(logging.ERROR):
        return False
    one: logging.Logger | None = logger
    while one is not None:
        for handler in one.handlers:
            stream = getattr(handler, "stream", None)
            if handler.level <= logging.ERROR and stream is not None and _is_seen(stream):
                return True
        one = one.parent if one.propagate else None
    return False


def _is_seen(stream: Any) -> bool:
    """Whether a stream is stderr, or a terminal."""
    if stream in (sys.stderr, sys.__stderr__):
        return True
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
