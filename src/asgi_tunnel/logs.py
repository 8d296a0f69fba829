"""Makes the tunnel's own lines visible, without touching how the app logs."""

from __future__ import annotations

import logging
import sys

NAME = "asgi_tunnel"


def ensure_handler() -> None:
    """Write INFO lines to stderr when nothing else would.

    uvicorn configures its own loggers only, so an INFO of ours would be lost, and with it the URL.
    An app that configured logging, or set a level here, is left alone.
    """
    logger = logging.getLogger(NAME)
    if logger.handlers or logger.level != logging.NOTSET or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s:     asgi-tunnel: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
