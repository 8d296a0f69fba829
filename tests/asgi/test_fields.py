from __future__ import annotations

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, Answer, Recorder, Tunnelled, body, start

from asgi_tunnel.asgi.fields import normalise_fields
from asgi_tunnel.asgi.types import Message

SPACED = [
    (b"X-Lead", b" spaced "),
    (b"x-tabs", b"\t \tone\ttwo  three \t"),
    (b"x-blank", b" \t "),
    (b"x-none", b""),
]
PLAIN = [
    (b"x-lead", b"spaced"),
    (b"x-tabs", b"one\ttwo  three"),
    (b"x-blank", b""),
    (b"x-none", b""),
]


async def test_outer_space_of_response_fields_is_left_out() -> None:
    """A34: outer spaces and tabs are no part of a value; the length and the status still fit."""
    visitor = await Tunnelled(
        Answer(start(200, *SPACED, (b"content-length", b" 5\t")), body(b"hello"))
    ).get()
    assert (visitor.status, visitor.body) == (200, b"hello")
    assert visitor.fields == [*PLAIN, (b"content-length", b"5")]


async def test_outer_space_of_trailers_and_early_hints_is_left_out() -> None:
    """A34, A44: trailers and the links of early hints are values like any other."""
    hint: Message = {"type": "http.response.early_hint", "links": [b" </a.css>; rel=preload\t"]}
    trailers: Message = {"type": "http.response.trailers", "headers": SPACED}
    app = Recorder(hint, start(trailers=True), body(b"hello"), trailers)
    visitor = await Tunnelled(app).get()
    assert not app.errors
    assert visitor.interim == [(103, [(b"link", b"</a.css>; rel=preload")])]
    assert visitor.trailers == PLAIN


async def test_outer_space_of_an_accept_is_left_out() -> None:
    """A34, A52: so are the fields of a 101, the subprotocol's too."""
    message = {**ACCEPT, "subprotocol": " chat ", "headers": SPACED}
    visitor = await Tunnelled(Recorder(message, CLOSE)).connect().over()
    assert visitor.status == 101
    assert visitor.fields == [(b"sec-websocket-protocol", b"chat"), *PLAIN]


async def test_outer_space_of_a_denial_is_left_out() -> None:
    """A34, A54: and those of a denial response."""
    deny: Message = {"type": "websocket.http.response.start", "status": 401, "headers": SPACED}
    visitor = (
        await Tunnelled(Recorder(deny, {"type": "websocket.http.response.body"})).connect().over()
    )
    assert (visitor.status, visitor.fields) == (401, PLAIN)


@pytest.mark.parametrize("value", [b" \n", b"\r", b"a\x0b", b"\x0ca", b"\x1fa", b"\x7f ", b"a\n "])
def test_outer_control_characters_are_refused(value: bytes) -> None:
    """A34: only spaces and tabs are left out; a line break at the end is still a mistake."""
    with pytest.raises(ValueError, match="'x-name' holds a control character"):
        normalise_fields([(b"X-Name", value)])
