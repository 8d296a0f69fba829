"""Every error of asgi-tunnel, in one tree.

::

    TunnelError
    ├── ConfigError              .setting .why .fix        a setting is missing or wrong
    ├── HandshakeError           .code .retry_after        the edge refused the session
    │   ├── AuthenticationError                            the token is not valid there
    │   ├── HostnameUnavailableError                       a wanted hostname is not the token's
    │   └── VersionMismatchError                           no common protocol version
    ├── ProtocolError            .code                     the peer broke the wire protocol
    │   ├── FrameError                                     a frame's size or form
    │   ├── FlowControlError                               more was sent than a window allowed
    │   └── StreamStateError                               a frame its stream does not allow
    ├── LocalProtocolError       (also RuntimeError)       this side misused the protocol core
    ├── BanError                 .code                     the edge does not hold an app's ban
    ├── StreamResetError         .code .stream_id .by_peer one stream ended before its time
    └── ClientDisconnectedError  (also OSError) .event .code   the visitor of a WebSocket left

Attributes come first; ``str()`` builds one sentence from them. Codes are the numbers of
``asgi_tunnel.protocol.codes``; this module only carries them, so that nothing lies below it.
No error holds a token, a cookie or a body. All of them can be pickled and copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AuthenticationError",
    "BanError",
    "ClientDisconnectedError",
    "ConfigError",
    "FlowControlError",
    "FrameError",
    "HandshakeError",
    "HostnameUnavailableError",
    "LocalProtocolError",
    "ProtocolError",
    "StreamResetError",
    "StreamStateError",
    "TunnelError",
    "VersionMismatchError",
]


class TunnelError(Exception):
    """The root: catches whatever asgi-tunnel raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls the class with `args` alone, which fails where arguments are
        # keyword-only. The attributes are the error, so they are what is carried.
        return _restored, (type(self), self.args, self.__dict__)

    @classmethod
    def _restore(cls, args: tuple[object, ...], state: dict[str, object]) -> Self:
        error = cls.__new__(cls, *args)
        error.args = args
        error.__dict__.update(state)
        return error


class ConfigError(TunnelError):
    """A setting is missing or wrong.

    Attributes:
        setting: Its name as the user knows it (``ASGI_TUNNEL_TOKEN``); never its value.
        why: What is wrong, as the predicate of a sentence: "is empty".
        fix: What to do, as an instruction: "paste the whole token".
    """

    def __init__(self, setting: str, why: str, fix: str) -> None:
        super().__init__(setting, why, fix)
        self.setting = setting
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.setting} {self.why}; {self.fix}"


class HandshakeError(TunnelError):
    """The edge refused to start the session.

    Attributes:
        code: A number of ``protocol.codes.RefuseCode``.
        sentence: The edge's reason, for a person.
        retry_after: Seconds after which another try makes sense; None where the edge gave none.
    """

    def __init__(self, code: int, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence
        self.retry_after = retry_after

    def __str__(self) -> str:
        if self.retry_after is None:
            return self.sentence
        return f"{self.sentence}; try again in {self.retry_after:g} s"


class AuthenticationError(HandshakeError):
    """The token is unknown to the edge, wrong, revoked or expired: trying again is of no use."""


class HostnameUnavailableError(HandshakeError):
    """A wanted hostname is not one that the token may serve."""


class VersionMismatchError(HandshakeError):
    """The two sides have no protocol version in common; the sentence says which to upgrade."""


class ProtocolError(TunnelError):
    """The peer broke a rule of the wire protocol.

    Attributes:
        code: The wire code sent to the peer in RESET or GOAWAY.
        sentence: What came and what was allowed, with the numbers.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class FrameError(ProtocolError):
    """A frame is larger than allowed or has the wrong form."""


class FlowControlError(ProtocolError):
    """The peer sent more than a window allowed, or widened a window beyond its bound."""


class StreamStateError(ProtocolError):
    """A frame came that the state of its stream does not allow."""


class LocalProtocolError(TunnelError, RuntimeError):
    """This side misused the protocol core: a defect here, never the peer's fault."""


class BanError(TunnelError):
    """The edge did not take a ban of the app, or did not take it back.

    Attributes:
        code: ``no-tunnel``, ``not-connected``, ``old-edge``, ``timeout``, ``busy``, ``quota``,
            ``exempt``, ``address`` or ``seconds``.
        sentence: The same for a person.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class StreamResetError(TunnelError):
    """One stream ended before its time; the session goes on.

    Attributes:
        code: A number of ``protocol.codes.ResetCode``.
        stream_id: Which stream.
        by_peer: True when the peer sent the RESET, False when this side did.
    """

    def __init__(self, code: int, *, stream_id: int, by_peer: bool) -> None:
        super().__init__(code)
        self.code = code
        self.stream_id = stream_id
        self.by_peer = by_peer

    def __str__(self) -> str:
        return f"stream {self.stream_id} was reset by {_who(self.by_peer)}: {_named(self.code)}"


class ClientDisconnectedError(TunnelError, OSError):
    """The app sent on a WebSocket whose visitor had left.

    It is an OSError because ASGI (spec 2.4) asks for one: frameworks catch exactly that. The
    name is ASGI's as well; elsewhere the word is visitor.

    Attributes:
        event: The type of the ASGI message that could not be sent.
        code: The close code the visitor gave; None where there was none.
    """

    def __init__(self, event: str = "websocket.send", *, code: int | None = None) -> None:
        super().__init__(event)
        self.event = event
        self.code = code

    def __str__(self) -> str:
        code = "" if self.code is None else f" (close code {self.code})"
        return f"{self.event} came after the visitor had disconnected{code}"


def _restored(
    cls: type[TunnelError], args: tuple[object, ...], state: dict[str, object]
) -> TunnelError:
    return cls._restore(args, state)


def _who(by_peer: bool) -> str:
    return "the peer" if by_peer else "this side"


def _named(code: int) -> str:
    """``CANCELLED (1)`` for a member of an enum, ``code 1`` for a plain number."""
    name = getattr(code, "name", None)
    return f"code {code}" if name is None else f"{name} ({int(code)})"
