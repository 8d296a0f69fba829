"""daphne's testing instance with an edge in the place of its process."""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import Any, Final

from daphne.testing import BaseDaphneTestingInstance
from hypothesis import Phase, settings

from .front import Front
from .world import Message, Receive, Scope, Send, Visit, world

BEYOND: Final = {
    "http": frozenset({"extensions", "state"}),
    "websocket": frozenset({"extensions", "state", "http_version"}),
}
"""Keys of a scope that the specification has and daphne has not: its tests know no others than
its own."""

PATIENCE: Final = 5.0
"""Seconds for a response; the tests' own second is not enough on a busy machine."""


class _Left(BaseException):
    """The visitor has left, and the app asks for more: daphne cancels its call."""


def _as_in_daphne(app: Any) -> Any:
    """Wrap the tests' app, which has no end of its own."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        has_left = False

        async def receive_until_left() -> Message:
            nonlocal has_left
            if has_left:
                raise _Left
            message = await receive()
            has_left = message["type"].endswith(".disconnect")
            return message

        known = {key: scope[key] for key in scope if key not in BEYOND[scope["type"]]}
        with contextlib.suppress(_Left):
            await app(known, receive_until_left, send)

    return call


def _enter(self: Any) -> Any:
    self.process_setup()
    app = _as_in_daphne(self.get_application())
    gate = world().gate("http")
    self.front = Front(gate.port, lambda port: gate.register(port, Visit(app)))
    world().portal.call(self.front.start)
    self.port = self.front.port
    return self


def _exit(self: Any, *args: object) -> None:
    world().portal.call(self.front.stop)
    self.process_teardown()


def pytest_collection_modifyitems() -> None:
    """Give a response ``PATIENCE``."""
    case: Any = importlib.import_module("http_base").DaphneTestCase
    for name in ("run_daphne_http", "run_daphne_raw", "websocket_handshake", "receive_from_socket"):
        patient = functools.partialmethod(getattr(case, name), timeout=PATIENCE)
        setattr(case, name, patient)


def pytest_configure() -> None:
    """Replace how an instance starts and stops; take the same examples in every run.

    A failing example is not made smaller: that takes minutes, and it is listed or mended anyway.
    """
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("conformance", derandomize=True, database=None, phases=phases)
    settings.load_profile("conformance")
    BaseDaphneTestingInstance.__enter__ = _enter
    BaseDaphneTestingInstance.__exit__ = _exit
