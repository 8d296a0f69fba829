"""What one conversation is: what the visitor sends, and what the app does with it.

A conversation is plain data, so that Hypothesis shrinks it and a failure prints it whole. The
visitor's half is in the conversation's own order; the app's half is a list of actions for each
call. What would race is written so that one side waits for the other: a visitor that leaves in the
middle of a response has read its first bytes before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

Fields = tuple[tuple[bytes, bytes], ...]

HOST: Final = b"shop.example.test"
"""The name that the tunnel serves; uvicorn does not look at it."""

# -- what an app does --------------------------------------------------------------------------


class _Name(Enum):
    """Printed as it is written, so that a case can be read back."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Read(_Name):
    """How an app receives."""

    ONCE = auto()  # one message
    BODY = auto()  # up to the end of the body, or a disconnect
    DISCONNECT = auto()  # up to the disconnect
    TURN = auto()  # nothing: give the event loop a turn


@dataclass(frozen=True)
class Start:
    """``http.response.start``."""

    status: int
    fields: Fields = ()
    has_trailers: bool = False  # if the server offers the extension


@dataclass(frozen=True)
class Send:
    """``http.response.body``."""

    data: bytes
    more: bool = False


@dataclass(frozen=True)
class Hint:
    """``http.response.early_hint``, if the server offers the extension."""

    links: tuple[bytes, ...]


@dataclass(frozen=True)
class Trailers:
    """``http.response.trailers``, if the server offers the extension."""

    fields: Fields
    more: bool = False


@dataclass(frozen=True)
class Wrong:
    """A message that fits nowhere, or not here."""

    kind: str


@dataclass(frozen=True)
class Raise:
    """The app fails."""


@dataclass(frozen=True)
class Accept:
    """``websocket.accept``."""

    subprotocol: str | None = None
    fields: Fields = ()


@dataclass(frozen=True)
class Message:
    """``websocket.send`` of an app; a message of a visitor, in as many frames as it has parts."""

    parts: tuple[bytes, ...]
    is_text: bool
    ping: bytes | None = None  # sent by the visitor behind the first frame

    @property
    def data(self) -> bytes:
        """The whole message."""
        return b"".join(self.parts)


@dataclass(frozen=True)
class Close:
    """``websocket.close`` of an app, a close frame of a visitor."""

    code: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Deny:
    """A denial response, ``websocket.http.response.*``."""

    status: int
    fields: Fields
    bodies: tuple[bytes, ...]


Action = Read | Start | Send | Hint | Trailers | Wrong | Raise | Accept | Message | Close | Deny

# -- what a visitor does -----------------------------------------------------------------------


class BodyKind(_Name):
    """How a request frames its body."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()


@dataclass(frozen=True)
class Body:
    """A request's body.

    Attributes:
        pieces: Of data; each is a chunk, where there are chunks.
        extensions: Behind the chunks' sizes, in turn.
        trailers: Behind the last chunk.
    """

    kind: BodyKind = BodyKind.NONE
    pieces: tuple[bytes, ...] = ()
    extensions: tuple[bytes, ...] = ()
    trailers: Fields = ()

    @property
    def data(self) -> bytes:
        """What the app gets."""
        return b"".join(self.pieces)

    def encoded(self) -> bytes:
        """What is sent."""
        if self.kind is not BodyKind.CHUNKED:
            return self.data
        lines = []
        for number, piece in enumerate(self.pieces):
            if piece:
                tail = self.extensions[number % len(self.extensions)] if self.extensions else b""
                lines.append(b"%x%s\r\n%s\r\n" % (len(piece), tail, piece))
        lines.append(b"0\r\n")
        lines += [b"%s: %s\r\n" % field for field in self.trailers]
        return b"".join([*lines, b"\r\n"])


@dataclass(frozen=True)
class Request:
    """A request; ``fields`` come behind Host and before what frames the body."""

    method: bytes = b"GET"
    target: bytes = b"/"
    version: bytes = b"1.1"
    fields: Fields = ()
    body: Body = Body()
    host: bytes | None = HOST
    empty_lines: int = 0  # in front
    separator: bytes = b": "

    def head(self) -> bytes:
        """What is sent before the body."""
        lines = [b"\r\n" * self.empty_lines + b"%s %s HTTP/%s" % self._line]
        fields: Fields = () if self.host is None else ((b"Host", self.host),)
        fields += self.fields
        if self.body.kind is BodyKind.LENGTH:
            fields += ((b"Content-Length", b"%d" % len(self.body.data)),)
        elif self.body.kind is BodyKind.CHUNKED:
            fields += ((b"Transfer-Encoding", b"chunked"),)
        lines += [name + self.separator + value for name, value in fields]
        return b"\r\n".join([*lines, b"", b""])

    @property
    def _line(self) -> tuple[bytes, bytes, bytes]:
        return self.method, self.target, self.version

    @property
    def expects_continue(self) -> bool:
        """Whether the body waits for 100."""
        return any(
            name.lower() == b"expect" and value.lower() == b"100-continue"
            for name, value in self.fields
        )

    def values(self, name: bytes) -> list[bytes]:
        """The values of a field."""
        return [value for one, value in self.fields if one.lower() == name]


@dataclass(frozen=True)
class Exchange:
    """A request, how its bytes are cut into writes, and what the app does."""

    request: Request
    app: tuple[Action, ...]
    cuts: tuple[int, ...] = ()  # places in the bytes, modulo their number


class End(_Name):
    """How the visitor ends."""

    PROBE = auto()  # asks once more, to see whether the connection is still there
    HALF_CLOSE = auto()  # sends FIN behind the last request, and reads on
    LEAVE_IN_HEAD = auto()  # resets the connection, with half of the last head sent
    LEAVE_IN_BODY = auto()  # the same with half of the last body, once the app reads it
    LEAVE_EARLY = auto()  # the same once the app waits for it, before the response
    LEAVE_IN_RESPONSE = auto()  # the same with the first bytes of the last response read


@dataclass(frozen=True)
class Conversation:
    """One connection of a visitor that speaks HTTP."""

    exchanges: tuple[Exchange, ...]
    is_pipelined: bool = False
    end: End = End.PROBE


class Bad(_Name):
    """A visitor's frame that breaks RFC 6455."""

    UNMASKED = auto()
    RESERVED_BIT = auto()
    RESERVED_OPCODE = auto()
    NOT_UTF8 = auto()
    LONG_PING = auto()
    FRAGMENTED_PING = auto()
    LONE_CONTINUATION = auto()
    NEW_MESSAGE_INSIDE = auto()
    CLOSE_OF_ONE_BYTE = auto()
    CLOSE_CODE = auto()
    CLOSE_NOT_UTF8 = auto()


class Turn(_Name):
    """Steps of a WebSocket that need no data."""

    LEAVE = auto()  # the visitor resets the connection
    FINISH = auto()  # the visitor ends the connection without a close frame
    RAISE = auto()  # the app fails
    RETURN = auto()  # the app returns


@dataclass(frozen=True)
class FromApp:
    """The app's turn; the visitor reads what comes of it."""

    what: Message | Close


@dataclass(frozen=True)
class FromVisitor:
    """The visitor's turn; the app receives what comes of it."""

    what: Message | Close


@dataclass(frozen=True)
class Ping:
    """The visitor sends a ping, and reads the pong."""

    data: bytes


Step = FromApp | FromVisitor | Ping | Bad | Turn


@dataclass(frozen=True)
class Socket:
    """One WebSocket.

    Attributes:
        request: The handshake.
        opening: What the app does with it; without Accept the WebSocket ends there.
        steps: In turn; the last one ends it.
        after: What the app does when all is over.
        is_burst: The visitor sends its messages without waiting for what the app sends between.
    """

    request: Request
    opening: tuple[Action, ...]
    steps: tuple[Step, ...] = ()
    after: tuple[Action, ...] = ()
    is_burst: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the app accepts it."""
        return any(isinstance(action, Accept) for action in self.opening)

    def app(self) -> tuple[Action, ...]:
        """What the app does in all."""
        actions = list(self.opening)
        for step in self.steps if self.is_accepted else ():
            match step:
                case FromApp(what):
                    actions.append(what)
                case FromVisitor(Message()):
                    actions.append(Read.ONCE)
                case FromVisitor() | Bad() | Turn.LEAVE | Turn.FINISH:
                    actions.append(Read.DISCONNECT)
                case Turn.RAISE:
                    actions.append(Raise())
                case Turn.RETURN:
                    return tuple(actions)
                case Ping():
                    pass
        return (*actions, *self.after)


Case = Conversation | Socket
