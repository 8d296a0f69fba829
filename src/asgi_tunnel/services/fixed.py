"""Redirects and fixed responses."""

from __future__ import annotations

from typing import Final

from ..asgi.types import Receive, Scope, Send
from .reply import reply
from .service import RedirectTarget, StatusTarget

_SAFE: Final = frozenset(range(0x21, 0x7F)) - frozenset(b'"<>\\^`{|}')


class Redirect:
    """An ASGI app that sends visitors elsewhere.

    Args:
        target: Where to.
    """

    def __init__(self, target: RedirectTarget) -> None:
        self._target = target
        self._base = target.url.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        location = self._base
        if self._target.keep_path:
            rest = scope["raw_path"].removeprefix(scope["root_path"].encode())
            rest = rest.lstrip(b"/\\")  # a second slash in front would name another host
            if rest:
                location = location.rstrip(b"/") + b"/" + rest
            if scope["query_string"]:
                location += b"?" + scope["query_string"]
        location = b"".join(b"%c" % one if one in _SAFE else b"%%%02X" % one for one in location)
        fields = [(b"location", location)]
        await reply(scope, receive, send, self._target.status, "", fields)


class Status:
    """An ASGI app with one response.

    Args:
        target: Which.
    """

    def __init__(self, target: StatusTarget) -> None:
        self._target = target

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        text = self._target.text
        await reply(scope, receive, send, self._target.status, text + "\n" if text else "")
