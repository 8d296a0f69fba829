from __future__ import annotations

import json
from typing import Any

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, Recorder, Tunnelled

from asgi_tunnel.asgi import visitor as module
from asgi_tunnel.asgi.visitor import MAX_KEPT, MAX_KEPT_SIZE, read_visitor
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import ASK_DURATION, VISITOR, HeadError

ANNA: dict[str, Any] = {
    "subject": "user:anna",
    "name": "Anna",
    "email": "anna@example.org",
    "groups": ["family", "operators"],
    "method": "passkey",
    "since": 1_790_000_000,
    "policy": "family",
}
LINE = json.dumps(ANNA, separators=(",", ":")).encode()


async def test_a_visitor_stands_in_the_scope() -> None:
    """The line becomes a dict of plain values, and is no field, with another line before it or not.

    Where it was asked for, the time is told too.
    """
    app = Recorder()
    tunnel = Tunnelled(app)
    tunnel.origin.edge = "wss://edge.test"
    own = {"request_id": "r1", "hostname": "shop.example.test", "edge": "wss://edge.test"}
    asked = await tunnel.ask("GET", "/", ASK_DURATION, (VISITOR, LINE)).over()
    assert app.scope["extensions"]["asgi_tunnel"] == {**own, "visitor": ANNA}
    assert asked.fields[-1][0] == ASK_DURATION[0]
    other = await tunnel.ask("POST", "/", (VISITOR, LINE), body=b"x").over()
    assert app.scope["extensions"]["asgi_tunnel"] == {**own, "visitor": ANNA}
    assert other.fields == []
    await tunnel.get()
    assert app.scope["extensions"]["asgi_tunnel"] == own
    for scope in app.scopes:
        assert not [name for name, _ in scope["headers"] if name.startswith(b":")]


async def test_a_visitor_of_a_websocket() -> None:
    """A WebSocket's scope says the same."""
    app = Recorder(ACCEPT, CLOSE)
    tunnel = Tunnelled(app)
    await tunnel.connect("/", (VISITOR, LINE)).over()
    assert app.scope["extensions"]["asgi_tunnel"]["visitor"] == ANNA
    assert (VISITOR, LINE) not in app.scope["headers"]


async def test_each_call_has_its_own() -> None:
    """An app that writes into it changes nothing for the next request of the same visitor."""
    app = Recorder()
    tunnel = Tunnelled(app)
    await tunnel.ask("GET", "/", (VISITOR, LINE)).over()
    found = app.scope["extensions"]["asgi_tunnel"]["visitor"]
    found["groups"].append("operators")
    found["subject"] = "user:ben"
    await tunnel.ask("GET", "/", (VISITOR, LINE)).over()
    assert app.scope["extensions"]["asgi_tunnel"]["visitor"] == ANNA


BAD = {
    "no JSON": b"anna",
    "no object": b'["anna"]',
    "too deep": b"[" * 100_000,
    "not UTF-8": b'{"subject":"\xff"}',
    "nobody": b"{}",
    "an empty subject": b'{"subject":""}',
    "a number as subject": b'{"subject":1}',
    "no name": b'{"subject":"a","name":null}',
    "groups as text": b'{"subject":"a","groups":"operators"}',
    "a group that is no text": b'{"subject":"a","groups":[1]}',
    "since as text": b'{"subject":"a","since":"1"}',
    "since as truth": b'{"subject":"a","since":true}',
}


@pytest.mark.parametrize("line", BAD.values(), ids=list(BAD))
def test_a_line_that_says_nothing(line: bytes) -> None:
    """It is an error, and is not kept."""
    with pytest.raises(HeadError, match="the line about the visitor"):
        read_visitor(line)
    assert line not in module._kept


async def test_a_request_with_a_bad_line_is_not_served() -> None:
    """Somebody who is known must not look like nobody: the stream is reset, and others go on."""
    app = Recorder()
    tunnel = Tunnelled(app)
    bad = await tunnel.ask("GET", "/", (VISITOR, b"{}")).over()
    assert bad.reset is not None
    assert bad.reset[0] == ResetCode.PROTOCOL_ERROR
    twice = await tunnel.ask("GET", "/", (VISITOR, LINE), (VISITOR, LINE), body=None).over()
    assert twice.reset is not None
    assert "twice" in twice.reset[1]
    twice.send(b"late", end=True)
    assert (await tunnel.get()).status == 200
    assert len(app.scopes) == 1


def test_absent_and_unknown_keys() -> None:
    """What is left out is empty, and what a later edge adds is ignored."""
    found = read_visitor(b'{"subject":"link:7","later":1}')
    assert found == {**dict.fromkeys(ANNA, ""), "subject": "link:7", "groups": [], "since": 0}


def test_what_is_kept_is_bounded() -> None:
    """Lines are read once, up to a number and a size."""
    module._kept.clear()
    for number in range(2 * MAX_KEPT):
        assert read_visitor(b'{"subject":"user:%d"}' % number)["subject"] == f"user:{number}"
        assert len(module._kept) <= MAX_KEPT
    module._kept.clear()
    long = b'{"subject":"%s"}' % (b"a" * MAX_KEPT_SIZE)
    assert len(read_visitor(long)["subject"]) == MAX_KEPT_SIZE
    assert not module._kept
