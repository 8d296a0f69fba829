"""What a TLS client says first: only a ClientHelloError comes out, and any cut is the same.

The first byte chooses what is made of the rest: bytes of the connection, the body of a ClientHello,
or its extensions; the second one how that is cut into segments, and the message into records.
"""

import shlex
import sys

import atheris

with atheris.instrument_imports(
    include=["asgi_tunnel_edge.listeners.client_hello", "asgi_tunnel_edge.hostname"]
):
    from asgi_tunnel_edge.hostname import normalise_hostname
    from asgi_tunnel_edge.listeners.client_hello import (
        MAX_CLIENT_HELLO,
        Alert,
        ClientHello,
        ClientHelloError,
        ClientHelloReader,
    )

ALERTS = {
    Alert.UNEXPECTED_MESSAGE,
    Alert.RECORD_OVERFLOW,
    Alert.DECODE_ERROR,
    Alert.UNRECOGNIZED_NAME,
}
BODY = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"


def message(body: bytes) -> bytes:
    """A ClientHello of this body."""
    return b"\x01" + len(body).to_bytes(3) + body


def records(data: bytes, size: int) -> bytes:
    """The bytes of a connection that carries this message."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)


def read(data: bytes, step: int) -> ClientHello | tuple[int, str] | None:
    """What was found, or the alert and why; None: it goes on."""
    reader = ClientHelloReader()
    try:
        for at in range(0, len(data), step):
            hello = reader.feed(data[at : at + step])
            if hello is not None:
                assert bytes(reader.data) == data[: at + step]
                return hello
    except ClientHelloError as error:
        return error.alert, error.why
    assert bytes(reader.data) == data
    assert len(data) < MAX_CLIENT_HELLO
    return None


def run(data: bytes) -> None:
    """One input."""
    if len(data) < 2:
        return
    which, step, rest = data[0] % 3, data[1] + 1, data[2:]
    if which == 0:
        sent = rest
    else:
        body = rest if which == 1 else BODY + len(rest).to_bytes(2) + rest
        whole = records(message(body), 16 * 1024)
        sent = records(message(body), step)
        if len(sent) < MAX_CLIENT_HELLO:
            assert read(sent, len(sent)) == read(whole, len(whole))
    found = read(sent, max(len(sent), 1))
    assert found == read(sent, step)
    if isinstance(found, tuple) and not isinstance(found, ClientHello):
        assert found[0] in ALERTS
        assert found[1].isprintable()
    if isinstance(found, ClientHello):
        if found.server_name is not None:
            assert normalise_hostname(found.server_name) == found.server_name
        assert sum(len(one) + 1 for one in found.protocols) <= len(sent)


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
