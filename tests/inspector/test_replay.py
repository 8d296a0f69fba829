from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from asgi_tunnel.inspector.edits import Edits
from asgi_tunnel.inspector.replay import Message, Prepared, prepare, replay
from asgi_tunnel.inspector.reply import RefusedError
from asgi_tunnel.inspector.signatures import sign_again

from .details import body, exchange, message

FIELDS = [("host", "shop.example.org"), ("content-type", "text/plain"), ("x-two", "1")]
NONE = Edits()


class FakePlayer:
    """Notes what the app would be called with."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self._error = error

    async def call(
        self,
        scope: dict[str, Any],
        body: bytes,
        *,
        replay_of: str,
        messages: Sequence[Message] | None = None,
    ) -> str:
        """Note it."""
        if self._error is not None:
            raise self._error
        self.calls.append({"scope": scope, "body": body, "of": replay_of, "messages": messages})
        return "new"


def post(data: bytes | str = "abc", **more: Any) -> dict[str, Any]:
    """A recorded POST."""
    length = ("content-length", str(len(data)))
    given = {"fields": [*FIELDS, length], "sent": body(data), **more}
    return exchange("POST", "/a?b=c", **given)


def fields_of(request: Prepared) -> dict[str, str]:
    """The fields of a request, by name."""
    return {name.decode(): value.decode("latin-1") for name, value in request.scope["headers"]}


async def test_as_it_was() -> None:
    """Without edits each byte is the recorded one, and the reply says which exchange it made."""
    player = FakePlayer()
    data = bytes(range(256))
    assert await replay(post(data), NONE, player) == {"id": "new", "missing": []}
    (call,) = player.calls
    assert (call["of"], call["body"], call["messages"]) == ("00000000000000aa", data, None)
    assert call["scope"] == {
        "type": "http",
        "method": "POST",
        "raw_path": b"/a",
        "query_string": b"b=c",
        "headers": [
            (b"host", b"shop.example.org"),
            (b"content-type", b"text/plain"),
            (b"x-two", b"1"),
            (b"content-length", b"256"),
        ],
        "scheme": "https",
        "http_version": "1.1",
        "client": ("203.0.113.9", 0),
        "server": ("127.0.0.1", 443),
    }


@pytest.mark.parametrize("error", [RuntimeError("8 replays are in progress"), ValueError("x")])
async def test_not_now(error: Exception) -> None:
    """What the app's side cannot do is said, and no traceback."""
    with pytest.raises(RefusedError, match=f"it cannot be replayed now: {error}"):
        await replay(post(), NONE, FakePlayer(error))


def test_edits() -> None:
    """Each part on its own; the length follows the body."""
    request = prepare(post(), Edits(method="PUT", path="/x?y=z"), now=0)
    assert request.scope["method"] == "PUT"
    assert (request.scope["raw_path"], request.scope["query_string"]) == (b"/x", b"y=z")
    assert fields_of(request)["content-length"] == "3"
    request = prepare(post(), Edits(body=b"longer"), now=0)
    assert (request.body, fields_of(request)["content-length"]) == (b"longer", "6")
    request = prepare(post(), Edits(fields=[("x-new", "1")]), now=0)
    assert request.scope["headers"] == [(b"host", b"shop.example.org"), (b"x-new", b"1")]


def test_values_replace_fields_where_they_stood() -> None:
    """All of one name by one value, and a new one comes last."""
    fields = [("a", "1"), ("X-Two", "2"), ("host", "h"), ("x-two", "3")]
    edits = Edits(values={"x-two": "new", "last": "\xe9"})
    request = prepare(exchange(fields=fields), edits, now=0)
    assert request.scope["headers"] == [
        (b"a", b"1"),
        (b"x-two", b"new"),
        (b"host", b"h"),
        (b"last", b"\xe9"),
    ]


def test_what_was_not_recorded_is_named() -> None:
    """Each secret that nobody gives, so that a 401 surprises nobody."""
    detail = exchange(
        "POST",
        "/a?token=[redacted]",
        fields=[("authorization", "[redacted]"), ("cookie", "[redacted]"), ("content-length", "1")],
        sent=body('{"password": "[redacted]"}'),
        visitor="anna",
    )
    everything = ["query: token", "authorization", "cookie", "body: password", "visitor"]
    request = prepare(detail, NONE, now=0)
    assert request.missing == everything
    assert fields_of(request)["content-length"] == "26"
    edits = Edits(values={"authorization": "Bearer x"}, path="/a?token=1", body=b"{}")
    assert prepare(detail, edits, now=0).missing == ["cookie", "visitor"]
    edits = Edits(fields=[("authorization", "Bearer x"), ("cookie", "[redacted]")])
    assert "authorization" not in prepare(detail, edits, now=0).missing
    assert "cookie" in prepare(detail, edits, now=0).missing


def test_a_packed_body() -> None:
    """It was kept unpacked, and is sent as that."""
    fields = [*FIELDS, ("content-encoding", "gzip"), ("content-length", "23")]
    packed = body("plain") | {"size": 23, "kept": 23}
    request = prepare(exchange("POST", fields=fields, sent=packed), NONE, now=0)
    assert request.body == b"plain"
    assert fields_of(request)["content-length"] == "5"
    assert "content-encoding" not in fields_of(request)


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        (exchange(level="metadata"), "only numbers were recorded of it"),
        (post(sent=body("abc", size=9)), "only 3 of the 9 bytes of its body were kept"),
        (post("abcd", sent=body("abc")), "its visitor sent 3 bytes of the body so far, which is"),
        (
            post(fields=[("transfer-encoding", "chunked")], state="open"),
            "its visitor sent 3 bytes of the body so far, which is not all",
        ),
        (
            exchange(kind="websocket", messages=3, exchange_messages=[message("visitor", "a")]),
            "not all that its visitor sent was kept",
        ),
        (
            exchange(
                kind="websocket",
                messages=1,
                exchange_messages=[{**message("visitor", "a"), "size": 2}],
            ),
            "not all that its visitor sent was kept",
        ),
    ],
)
def test_what_cannot_be_replayed(detail: dict[str, Any], sentence: str) -> None:
    """One sentence says why, and what to do."""
    with pytest.raises(RefusedError) as refused:
        prepare(detail, NONE, now=0)
    assert str(refused.value).startswith(sentence)
    assert "; " in str(refused.value)
    assert refused.value.status == 409


def test_a_body_that_is_given_needs_none_that_was_kept() -> None:
    """Whatever is missing of the recorded one."""
    cut = post(sent=body("abc", size=9))
    assert prepare(cut, Edits(body=b"whole"), now=0).body == b"whole"


def test_a_websocket() -> None:
    """Its visitor's messages, each with how many the app had sent before."""
    detail = exchange(
        path="/live",
        kind="websocket",
        scheme="wss",
        messages=4,
        exchange_messages=[
            message("visitor", "one"),
            message("app", "hello"),
            message("app", "hello again"),
            message("visitor", b"\xff"),
        ],
    )
    request = prepare(detail, Edits(path="/other"), now=0)
    assert (request.scope["type"], request.scope["raw_path"]) == ("websocket", b"/other")
    assert request.messages == [("one", 0), (b"\xff", 2)]
    for edits in (Edits(method="POST"), Edits(body=b""), Edits(secret="x")):
        with pytest.raises(RefusedError, match="neither method, body nor signature"):
            prepare(detail, edits, now=0)


def test_a_webhook() -> None:
    """Its signature stays as it is; with the secret it is made anew, for the body that is sent."""
    signed = sign_again([("stripe-signature", "")], b"abc", secret="s", now=5)
    detail = post(fields=[*FIELDS, *signed])
    assert fields_of(prepare(detail, NONE, now=9_000))["stripe-signature"] == signed[0][1]
    edits = Edits(body=b"abcd", secret="s")
    expected = sign_again([("stripe-signature", "")], b"abcd", secret="s", now=9_000)
    request = prepare(detail, edits, now=9_000.7)
    assert fields_of(request)["stripe-signature"] == expected[0][1]
    assert "'s'" not in repr(request)
