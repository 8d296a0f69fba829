"""TLS on one connection: a protocol to the socket's transport, a transport to the protocol above.

An own layer, because asyncio's and uvloop's read the first byte themselves, and the listener has to
choose a certificate by what it says; and because uvloop's keeps what is written in a second buffer
that it does not show (docs/adr/0010-own-tls-layer.md). TLS itself is
OpenSSL's, by ``ssl.MemoryBIO``. Unlike theirs it has half-closes, as plain TCP has: RFC 8446
section 6.1.

The edge's listeners are its servers, :mod:`.dial` its client.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from .protocol.frames import Buffer

__all__ = ["SLICE", "TLSLayer", "end_writing"]

SLICE: Final = 32 * 1024
"""Bytes that go into or out of the TLS library at one time: its buffers keep the size that they
once had."""

_RECORD: Final = 16 * 1024  # bytes of plaintext that one read returns at most
_SMALL: Final = 4 * 1024  # bytes; smaller pieces share a record


def end_writing(transport: asyncio.WriteTransport) -> None:
    """Say behind what is written that nothing more is; who reads on learns of the other's end.

    Of a connection that the other side has reset asyncio's own loop would raise here, and uvloop
    does not.
    """
    try:
        transport.write_eof()
    except OSError:
        pass  # what reads it is told


class TLSLayer:
    """See the module.

    Args:
        context: With the certificate that is shown, or with whom to trust.
        make_protocol: Makes what is spoken inside, once the handshake is done. None: the connection
            is closed then; the certificate was all that the client wanted (RFC 8737).
        hello: What was read of the connection so far.
        on_handshake: Called once: with None when it is done, or with what it failed of. A lost
            connection is a ConnectionError.
        dialed: The host that this side has dialed; None on the side that was.
    """

    __slots__ = (
        "_above",
        "_hello",
        "_incoming",
        "_is_ended",
        "_is_eof",
        "_is_half_closed",
        "_is_open",
        "_make_protocol",
        "_on_handshake",
        "_outgoing",
        "_raw",
        "_tls",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.Protocol] | None,
        hello: bytes,
        on_handshake: Callable[[Exception | None], None],
        *,
        dialed: str | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=dialed is None, server_hostname=dialed
        )
        self._hello = hello
        self._make_protocol = make_protocol
        self._on_handshake: Callable[[Exception | None], None] | None = on_handshake
        self._raw: asyncio.Transport | None = None
        self._above: asyncio.Protocol | None = None  # from the end of the handshake on
        self._is_open = False  # the handshake is done
        self._is_eof = False  # the other side sends no more
        self._is_half_closed = False  # and the protocol above still writes
        self._is_ended = False  # nothing more is written

    # -- a protocol, to the transport of the socket ------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name: it has its methods, and no base class."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, with what was read before."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._raw = cast(asyncio.Transport, transport)
        hello, self._hello = self._hello, b""
        self.data_received(hello)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol above, or whoever waits for the handshake."""
        above, self._above = self._above, None
        self._raw = None
        if above is not None:
            above.connection_lost(exc)
        else:
            self._end_handshake(exc or ConnectionResetError("the connection was lost"))

    def data_received(self, data: bytes) -> None:
        """Decrypt, and hand all of it up in one piece."""
        if self._is_eof:
            return
        pieces: list[bytes] = []
        error: ssl.SSLError | None = None
        is_over = False
        try:
            if len(data) <= SLICE:
                is_over = self._read(data, pieces)
            else:
                view = memoryview(data)
                for start in range(0, len(data), SLICE):
                    is_over = is_over or self._read(view[start : start + SLICE], pieces)
        except ssl.SSLError as caught:
            error = caught
        self._flush()  # of the handshake, a new key, an alert
        if pieces and self._above is not None and not self.is_closing():
            self._above.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if error is not None:
            self._fail(error)
        elif is_over and not self.eof_received():
            self.close()

    def _read(self, data: Buffer, pieces: list[bytes]) -> bool:
        """Decrypt; return whether the other side has said that it sends no more."""
        incoming, tls = self._incoming, self._tls
        incoming.write(data)
        try:
            if not self._is_open:
                tls.do_handshake()
                self._open()
            while incoming.pending:
                piece = tls.read(_RECORD)
                if not piece:
                    return True
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass  # half of a record
        except ssl.SSLZeroReturnError:  # in the place of b"" when this side has ended, too
            return True
        return False

    def _open(self) -> None:
        self._is_open = True
        make = self._make_protocol
        self._end_handshake(None)
        if make is None:
            self.close()
            return
        self._above = make()
        self._flush()  # before what the protocol writes first
        self._above.connection_made(cast(asyncio.Transport, self))

    def eof_received(self) -> bool:
        """Return whether the protocol above still wants to write."""
        if not self._is_eof:  # it comes behind a goodbye, too
            self._is_eof = True
            self._is_half_closed = self._above is not None and bool(self._above.eof_received())
        return self._is_half_closed

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._above is not None:
            self._above.resume_writing()

    def _end_handshake(self, error: Exception | None) -> None:
        on_handshake, self._on_handshake = self._on_handshake, None
        self._make_protocol = None
        if on_handshake is not None:
            on_handshake(error)

    def _fail(self, error: Exception) -> None:
        """The other side broke a rule of TLS; the alert is sent."""
        if self._raw is not None:
            self._is_ended = True
            self._raw.close()
        if not self._is_open:
            self._end_handshake(error)

    # -- a transport, to the protocol above --------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the socket's transport knows, and ``ssl_object``."""
        if name == "ssl_object":
            return self._tls
        return default if self._raw is None else self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes to another protocol from now on."""
        self._above = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol | None:
        """Return the protocol above."""
        return self._above

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._raw is None or self._raw.is_closing()

    def is_reading(self) -> bool:
        """Whether what comes is read."""
        return self._raw is not None and self._raw.is_reading()

    def pause_reading(self) -> None:
        """Read no more; nothing that was read stays here."""
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._raw is not None:
            self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the bytes of ciphertext at which the protocol above is paused, and resumed."""
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """Return the bytes of ciphertext that the socket has not taken."""
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return what was set."""
        return (0, 0) if self._raw is None else self._raw.get_write_buffer_limits()

    def write(self, data: Buffer) -> None:
        """Encrypt and send; dropped when closed."""
        raw = self._raw
        if raw is None or self._is_ended or not data:
            return
        try:
            if len(data) <= SLICE:
                self._tls.write(data)
                raw.write(self._outgoing.read())
            else:
                raw.writelines(self._encrypt(memoryview(data)))
        except ssl.SSLError:
            self.abort()
        except RuntimeError as error:
            self._lose(error)

    def writelines(self, pieces: Iterable[Buffer]) -> None:
        """Encrypt and send several pieces; small ones share a record."""
        raw = self._raw
        if raw is None or self._is_ended:
            return
        encrypted: list[bytes] = []
        small: list[Buffer] = []
        try:
            for piece in pieces:
                if len(piece) < _SMALL:
                    small.append(piece)
                    continue
                if small:
                    encrypted += self._encrypt(memoryview(b"".join(small)))
                    small = []
                encrypted += self._encrypt(memoryview(piece))
            if small:
                encrypted += self._encrypt(memoryview(b"".join(small)))
        except ssl.SSLError:
            self.abort()
            return
        if encrypted:
            try:
                raw.writelines(encrypted)
            except RuntimeError as error:
                self._lose(error)

    def _encrypt(self, view: memoryview) -> list[bytes]:
        tls, outgoing = self._tls, self._outgoing
        encrypted = []
        for start in range(0, len(view), SLICE):
            tls.write(view[start : start + SLICE])
            encrypted.append(outgoing.read())
        return encrypted

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more is written, and read on."""
        if self._raw is not None and not self._is_ended:
            self._say_goodbye()
            if not self._raw.is_closing():
                end_writing(self._raw)

    def close(self) -> None:
        """Close behind what is written."""
        if self._raw is not None:
            self._say_goodbye()
            self._raw.close()

    def abort(self) -> None:
        """Close now."""
        self._is_ended = True
        if self._raw is not None:
            self._raw.abort()

    def _say_goodbye(self) -> None:
        """Send ``close_notify``, so that what was written is not taken for half of it."""
        if self._is_ended:
            return
        self._is_ended = True
        if self._is_open:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # the other side has not said its own yet
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None:
            try:
                self._raw.write(self._outgoing.read())
            except RuntimeError as error:
                self._lose(error)

    def _lose(self, error: RuntimeError) -> None:
        """The socket's transport is closed, and did not say so: the protocol above hears of it.

        uvloop's raises then, where asyncio's drops the bytes. The caller may be another visitor's
        connection, which is not to end of it.
        """
        self._is_ended = True
        lost = ConnectionResetError(f"the connection was lost ({error})")
        asyncio.get_running_loop().call_soon(self.connection_lost, lost)
