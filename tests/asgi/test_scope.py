from __future__ import annotations

from typing import Any

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, Recorder, Tunnelled, request_head

from asgi_tunnel.asgi.scope import http_scope, websocket_scope

PLAIN = (bytes, str, int, float, bool, type(None))


def scope_of(target: str | bytes = "/", *fields: tuple[bytes, bytes], **head: Any) -> Any:
    """The HTTP scope of a request."""
    return http_scope(request_head("GET", target, *fields, **head), state=None, root_path="")


def assert_plain(value: Any) -> None:
    """Fail on anything that the ASGI specification does not allow in an event."""
    if isinstance(value, dict):
        for key, one in value.items():
            assert type(key) is str
            assert_plain(one)
    elif isinstance(value, list | tuple):
        for one in value:
            assert_plain(one)
    else:
        assert type(value) in PLAIN, value


async def test_scope_is_a_fresh_dict_of_plain_values() -> None:
    """A01: each call gets a dict of its own that it may write into, with plain values only."""
    app = Recorder()
    tunnel = Tunnelled(app, state={"pool": 1})
    await tunnel.get("/a?b")
    app.scope["mine"] = object()
    app.scope["headers"].append((b"mine", b""))
    app.scope["extensions"]["mine"] = {}
    await tunnel.get("/a?b")
    first, second = app.scopes
    assert type(first) is dict
    assert "mine" not in second
    assert (b"mine", b"") not in second["headers"]
    assert "mine" not in second["extensions"]
    assert_plain(second)


@pytest.mark.parametrize("version", ["2.3", "2.4"])
async def test_versions_of_asgi_are_named(version: str) -> None:
    """A02: the scope names ASGI 3.0 and the version that sends after a disconnect follow."""
    app = Recorder()
    await Tunnelled(app, spec_version=version).get()
    assert app.scope["asgi"] == {"version": "3.0", "spec_version": version}


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_http_version_is_the_visitors(version: str) -> None:
    """A03: ``http_version`` is what the visitor spoke, for WebSockets too."""
    head = request_head(http_version=version.encode())
    assert http_scope(head, state=None, root_path="")["http_version"] == version
    assert websocket_scope(head, state=None, root_path="")["http_version"] == version


@pytest.mark.parametrize("method", ["GET", "CUSTOM", "_DO_DELETE", "M-SEARCH", "PROPFIND"])
async def test_unknown_methods_pass(method: str) -> None:
    """A04: any method reaches the app as upper-case text."""
    app = Recorder()
    await Tunnelled(app).ask(method).over()
    assert app.scope["method"] == method


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
def test_scheme_is_what_the_browser_used(scheme: str) -> None:
    """A05: ``scheme`` is that of the visitor's connection to the edge."""
    head = request_head(scheme=scheme.encode())
    build = http_scope if scheme.startswith("http") else websocket_scope
    assert build(head, state=None, root_path="")["scheme"] == scheme


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        ("/", "/", b"/"),
        ("/a%20b?c=d", "/a b", b"/a%20b"),
        ("/%C3%A9t%C3%A9", "/été", b"/%C3%A9t%C3%A9"),
        ("/a?b?c", "/a", b"/a"),
        ("/a%3Fb", "/a?b", b"/a%3Fb"),
        ("/100%", "/100%", b"/100%"),
    ],
)
def test_path_is_decoded_and_raw_path_is_not(target: str, path: str, raw_path: bytes) -> None:
    """A06: ``path`` is decoded text without the query, ``raw_path`` its bytes as sent."""
    scope = scope_of(target)
    assert scope["path"] == path
    assert scope["raw_path"] == raw_path
    assert type(scope["raw_path"]) is bytes


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a%2Fb", "/a/b"),
        (b"/a%00b", "/a\x00b"),
        (b"/%ff", "/\ufffd"),
        (b"/\xff", "/\ufffd"),
        (b"//a//b", "//a//b"),
        (b"/a/..;/b", "/a/..;/b"),
        (b"/a/../b/./c", "/a/../b/./c"),
    ],
)
async def test_paths_are_not_normalised(raw: bytes, path: str) -> None:
    """A07: encoded slashes, NUL, invalid UTF-8 and dots reach the app untouched."""
    app = Recorder()
    await Tunnelled(app).get(raw)
    assert app.scope["raw_path"] == raw
    assert app.scope["path"] == path


def test_asterisk_is_the_whole_path() -> None:
    """A08: the target of ``OPTIONS *`` is the path ``*``, below a root path as well."""
    for root_path in ("", "/shop"):
        scope = http_scope(request_head("OPTIONS", "*"), state=None, root_path=root_path)
        assert (scope["path"], scope["raw_path"]) == ("*", b"*")


@pytest.mark.parametrize(
    ("target", "query"),
    [("/", b""), ("/?", b""), ("/?a=%20b&c", b"a=%20b&c"), (b"/?\xff", b"\xff"), ("/?a?b", b"a?b")],
)
def test_query_string_is_always_there_and_never_decoded(target: str | bytes, query: bytes) -> None:
    """A09: ``query_string`` is bytes as sent, empty without a query, for WebSockets too."""
    head = request_head("GET", target)
    assert http_scope(head, state=None, root_path="")["query_string"] == query
    assert websocket_scope(head, state=None, root_path="")["query_string"] == query


@pytest.mark.parametrize("root_path", ["/shop", "/shop/"])
async def test_root_path_is_part_of_the_path(root_path: str) -> None:
    """A10: ``path`` and ``raw_path`` begin with ``root_path``, which has no slash at its end."""
    app = Recorder()
    await Tunnelled(app, root_path=root_path).get("/a%20b")
    assert app.scope["root_path"] == "/shop"
    assert app.scope["path"] == "/shop/a b"
    assert app.scope["raw_path"] == b"/shop/a%20b"


def test_root_path_is_empty_by_default() -> None:
    """A10: without a mount point ``root_path`` is an empty text."""
    assert scope_of("/a")["root_path"] == ""


async def test_headers_keep_order_duplicates_and_bytes() -> None:
    """A11: fields arrive as pairs of bytes in wire order, with duplicates and obs-text."""
    sent = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"name", b"\x80\xff caf\xe9")]
    app = Recorder()
    await Tunnelled(app).ask("GET", "/", *sent).over()
    assert app.scope["headers"][1:5] == sent
    assert all(type(one) is bytes for pair in app.scope["headers"] for one in pair)


def test_a_value_is_not_split_at_unicode_line_ends() -> None:
    """A14: characters that ``str.splitlines`` takes for line ends stay inside their value."""
    value = b"a\x85b\xe2\x80\xa8c"
    assert (b"x", value) in scope_of("/", (b"x", value))["headers"]


def test_client_is_the_visitor() -> None:
    """A15: ``client`` is the visitor's address and port as text and number, and never None."""
    assert scope_of()["client"] == ("192.0.2.7", 50_000)
    scope = scope_of(peer_host=b"2001:db8::7", peer_port=1)
    assert scope["client"] == ("2001:db8::7", 1)


def test_server_is_the_edges_listener() -> None:
    """A16: ``server`` is the address and port of the edge's listener."""
    assert scope_of()["server"] == ("192.0.2.1", 443)


async def test_state_is_copied_one_level_deep() -> None:
    """A17: each request gets a shallow copy of the lifespan's state."""
    pool: list[int] = []
    state = {"pool": pool}
    app = Recorder()
    tunnel = Tunnelled(app, state=state)
    await tunnel.get()
    app.scope["state"]["mine"] = 1
    app.scope["state"]["pool"].append(1)
    await tunnel.get()
    assert app.scope["state"] == {"pool": [1]}
    assert app.scope["state"]["pool"] is pool
    assert state == {"pool": [1]}


async def test_state_is_absent_without_a_lifespan() -> None:
    """A17: with the lifespan off there is no ``state``."""
    app = Recorder()
    await Tunnelled(app).get()
    assert "state" not in app.scope


def test_extensions_are_dicts_of_dicts() -> None:
    """A18: every extension that is offered has a dict; WebSockets offer the denial response."""
    head = request_head()
    for build in (http_scope, websocket_scope):
        extensions = build(head, state=None, root_path="")["extensions"]
        assert all(type(value) is dict for value in extensions.values())
    scope = websocket_scope(head, state=None, root_path="")
    own = {"request_id": "r1", "hostname": "shop.example.test", "edge": ""}
    assert scope["extensions"] == {"websocket.http.response": {}, "asgi_tunnel": own}


def test_tls_is_not_offered() -> None:
    """A19: the edge ends TLS and tells nothing of it, so the ``tls`` extension is not offered."""
    head = request_head(scheme=b"https")
    for build in (http_scope, websocket_scope):
        assert "tls" not in build(head, state=None, root_path="")["extensions"]


async def test_subprotocols_come_from_all_fields() -> None:
    """A20: ``subprotocols`` is split and stripped, in order, and there is no ``method``."""
    app = Recorder(ACCEPT, CLOSE)
    tunnel = Tunnelled(app)
    name = b"sec-websocket-protocol"
    await tunnel.connect("/", (name, b" chat , v2"), (b"a", b"b"), (name, b"last,")).over()
    assert app.scope["subprotocols"] == ["chat", "v2", "last"]
    assert "method" not in app.scope
    assert app.scope["type"] == "websocket"


def test_subprotocols_is_an_empty_list_without_the_field() -> None:
    """A20: nothing offered is an empty list."""
    assert websocket_scope(request_head(), state=None, root_path="")["subprotocols"] == []


@pytest.mark.parametrize(
    ("scheme", "proto"),
    [(b"https", b"https"), (b"wss", b"https"), (b"http", b"http"), (b"ws", b"http")],
)
def test_forwarding_fields_tell_the_truth(scheme: bytes, proto: bytes) -> None:
    """A21: fields that a proxy would add stand once, at the end, and agree with the scope."""
    fields = scope_of("/", scheme=scheme)["headers"][-5:]
    assert fields == [
        (b"x-forwarded-for", b"192.0.2.7"),
        (b"x-forwarded-proto", proto),
        (b"x-forwarded-host", b"shop.example.test"),
        (b"x-real-ip", b"192.0.2.7"),
        (b"x-request-id", b"r1"),
    ]
