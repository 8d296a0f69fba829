"""How long a connector waits before it dials again, by what it has seen."""

from __future__ import annotations

import errno
import logging
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.backoff import BASE, CAP, Backoff
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.edge_tls import EdgeTLSError
from asgi_tunnel.errors import HandshakeError
from asgi_tunnel.protocol.codes import GoawayCode, RefuseCode
from asgi_tunnel.protocol.events import SessionTerminated
from asgi_tunnel.slot import Slot
from asgi_tunnel.token import Token

TOKEN = Token(edge="ws://127.0.0.1:1", id="tok_1", secret="secret").format()


class LongOutage(Backoff):
    """Says the longest wait."""

    def next(self, now: float) -> float:
        """Return the cap."""
        return CAP


@pytest.fixture
def slot() -> Slot:
    """A slot that has never connected."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Is never called."""

    config = TunnelConfig.from_env({}, token=TOKEN)
    assert config is not None
    assert config.connections == 2
    return Slot(Connector(config, Origin(app)), 0)


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (TimeoutError(), BASE),
        (OSError(errno.ENETUNREACH, "no network"), 1.0),
        (socket.gaierror(socket.EAI_AGAIN, "no response"), 1.0),
        (ConnectionRefusedError(), CAP),
        (EdgeTLSError("the certificate has expired"), CAP),
    ],
)
async def test_waits_by_cause(slot: Slot, error: Exception, most: float) -> None:
    """What costs the edge nothing is tried again soon, what it can see is spread."""
    assert slot._unreached(error, LongOutage(0.0)) == most


async def test_a_refusal_with_a_hint(slot: Slot) -> None:
    """The edge's hint comes first and the spread behind it: all of a crowd get the same hint."""
    refusal = HandshakeError(RefuseCode.OVERLOAD, "busy", retry_after=2.0)
    assert slot._refused(refusal, LongOutage(0.0)) == 2.0 + CAP


async def test_a_drain_with_a_hint(slot: Slot) -> None:
    """An edge that goes away has spread its apps itself."""
    slot.retiring.append(object())  # type: ignore[arg-type]
    slot._hint = 0.3
    assert slot._lost(LongOutage(0.0)) == 0.3


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (GoawayCode.REVOKED, "the token got another secret", "the token got another secret"),
        (GoawayCode.REVOKED, "", "REVOKED"),
        (GoawayCode.NO_ERROR, "the session was renewed", ""),
        (99, "", ""),
    ],
)
def test_why_a_session_that_is_being_replaced_has_ended(
    slot: Slot, caplog: pytest.LogCaptureFixture, code: int, reason: str, said: str
) -> None:
    """A revocation is told, though the session had been drained: its replacement is refused."""
    caplog.set_level(logging.INFO, "asgi_tunnel")
    session: Any = SimpleNamespace(connection=SimpleNamespace(last_stream_id=0))
    slot.retiring.append(session)
    slot._on_end(session, SessionTerminated(code, reason, True, None, 0))
    assert not slot.retiring
    assert caplog.messages == ([f"the session ended: {said}"] if said else [])


def test_an_end_for_a_reason_of_a_newer_edge(slot: Slot, caplog: pytest.LogCaptureFixture) -> None:
    """A code that this version does not know is told as it is."""
    caplog.set_level(logging.INFO, "asgi_tunnel")
    session: Any = SimpleNamespace(connection=SimpleNamespace(last_stream_id=0))
    slot.session = session
    slot._on_end(session, SessionTerminated(99, "", True, None, 0))
    assert slot.session is None
    assert caplog.messages == ["the session ended: code 99"]
