from __future__ import annotations

import copy
import inspect
import pickle
from enum import IntEnum

import pytest

from asgi_tunnel import errors
from asgi_tunnel.errors import (
    AuthenticationError,
    BanError,
    ClientDisconnectedError,
    ConfigError,
    FlowControlError,
    FrameError,
    HandshakeError,
    HostnameUnavailableError,
    LocalProtocolError,
    ProtocolError,
    StreamResetError,
    StreamStateError,
    TunnelError,
    VersionMismatchError,
)


class Code(IntEnum):
    """A stand-in for the wire's codes."""

    CANCELLED = 1


SENTENCES: list[tuple[TunnelError, str]] = [
    (TunnelError("the tunnel is gone"), "the tunnel is gone"),
    (
        ConfigError("ASGI_TUNNEL_TOKEN", "is empty", "paste the token"),
        "ASGI_TUNNEL_TOKEN is empty; paste the token",
    ),
    (HandshakeError(4, "the edge is busy"), "the edge is busy"),
    (
        HandshakeError(4, "the edge is busy", retry_after=2.5),
        "the edge is busy; try again in 2.5 s",
    ),
    (AuthenticationError(1, "the token is revoked"), "the token is revoked"),
    (HostnameUnavailableError(3, "a.test is not yours"), "a.test is not yours"),
    (VersionMismatchError(2, "upgrade the edge"), "upgrade the edge"),
    (ProtocolError(1, "rule broken"), "rule broken"),
    (
        FrameError(2, "frame of 70000 bytes exceeds limit of 65536 bytes"),
        "frame of 70000 bytes exceeds limit of 65536 bytes",
    ),
    (FlowControlError(3, "10 bytes beyond the window"), "10 bytes beyond the window"),
    (StreamStateError(4, "DATA on a closed stream"), "DATA on a closed stream"),
    (LocalProtocolError("sent twice"), "sent twice"),
    (BanError("quota", "there are 200 bans"), "there are 200 bans"),
    (
        StreamResetError(Code.CANCELLED, stream_id=7, by_peer=True),
        "stream 7 was reset by the peer: CANCELLED (1)",
    ),
    (
        StreamResetError(99, stream_id=7, by_peer=False),
        "stream 7 was reset by this side: code 99",
    ),
    (
        ClientDisconnectedError(),
        "websocket.send came after the visitor had disconnected",
    ),
    (
        ClientDisconnectedError("websocket.accept", code=1001),
        "websocket.accept came after the visitor had disconnected (close code 1001)",
    ),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_sentence(error: TunnelError, sentence: str) -> None:
    """Each error builds one sentence from its attributes."""
    assert str(error) == sentence


def test_every_error_is_listed_and_tested() -> None:
    """The module offers exactly its classes, and each has a sentence above."""
    classes = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and name[0] != "_"
    }
    assert set(errors.__all__) == classes
    assert {type(error).__name__ for error, _ in SENTENCES} == classes


def test_tree_in_the_docstring_names_every_error() -> None:
    """The tree at the top of the module shows each class once."""
    words = (errors.__doc__ or "").split()
    assert {name: words.count(name) for name in errors.__all__} == dict.fromkeys(errors.__all__, 1)


@pytest.mark.parametrize("error", [error for error, _ in SENTENCES], ids=lambda e: type(e).__name__)
def test_pickle_and_copy(error: TunnelError) -> None:
    """An error crosses a process boundary with its class, attributes, arguments and notes."""
    error = copy.copy(error)
    error.add_note("seen in a test")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 (our own bytes)
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert twin.args == error.args
        assert str(twin) == str(error)


def test_bases_that_others_catch() -> None:
    """Misuse is a RuntimeError and a left visitor an OSError; both stay in the tree."""
    assert issubclass(LocalProtocolError, RuntimeError)
    assert issubclass(ClientDisconnectedError, OSError)
    for error, _ in SENTENCES:
        assert isinstance(error, TunnelError)
