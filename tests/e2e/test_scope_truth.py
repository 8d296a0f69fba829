"""What the app sees of a visitor is the truth, byte for byte, and nothing made up."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from .browsing import APPS, ROOT, TIMEOUT, open_websocket, trust
from .harness import Edge, running_app, running_edge

pytestmark = pytest.mark.e2e

HOST = "scope.example.test"
APP = f"{APPS}.scope_app:app"
ADDED = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "x-request-id"]
"""Fields that the tunnel adds, after those of the visitor."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge without TLS, with the app behind it."""
    folder = tmp_path_factory.mktemp("plain")
    with (
        running_edge(folder) as running,
        running_app(folder, running.create_token("scope"), APP, app_dir=ROOT),
    ):
        yield running


@pytest.fixture(scope="module")
def secure_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with its own certificate, pinned in the token; the app behind it."""
    folder = tmp_path_factory.mktemp("secure")
    with (
        running_edge(folder, tls="internal") as running,
        running_app(folder, running.create_token("scope"), APP, app_dir=ROOT),
    ):
        yield running


@pytest.fixture(scope="module")
def edge6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge that listens on IPv6, with the app behind it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    folder = tmp_path_factory.mktemp("six")
    with (
        running_edge(folder, host="[::1]") as running,
        running_app(folder, running.create_token("scope"), APP, app_dir=ROOT),
    ):
        yield running


def exchange(
    edge: Edge,
    head: bytes,
    *,
    source: str = "127.0.0.1",
    address: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> tuple[dict[str, Any], list[Any]]:
    """Send a request head as it is; return the scope that the app saw, and where it came from."""
    with socket.create_connection((address, edge.port), TIMEOUT, (source, 0)) as plain:
        own = list(plain.getsockname()[:2])
        sock = plain if tls is None else tls.wrap_socket(plain, server_hostname=HOST)
        with sock:
            sock.sendall(head)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
    status, _, rest = answer.partition(b"\r\n")
    assert b" 200 " in status, answer
    return json.loads(rest.partition(b"\r\n\r\n")[2]), own


def get(target: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A request head whose answer ends with the connection."""
    lines = [method + b" " + target + b" HTTP/" + version, b"Host: " + HOST.encode()]
    return b"\r\n".join([*lines, *fields, b"Connection: close", b"", b""])


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2", "127.1.2.3"])
def test_peer_is_the_visitors_socket(edge: Edge, source: str) -> None:
    """Address and port of the visitor's own socket are the app's ``client``."""
    scope, own = exchange(edge, get(b"/"), source=source)
    assert scope["client"] == own
    assert scope["server"] == ["127.0.0.1", edge.port]
    fields = dict(scope["headers"])
    assert fields["x-forwarded-for"] == fields["x-real-ip"] == source


def test_peer_over_ipv6(edge6: Edge) -> None:
    """An IPv6 visitor has an IPv6 address, and the edge too."""
    scope, own = exchange(edge6, get(b"/"), source="::1", address="::1")
    assert scope["client"] == own
    assert scope["server"] == ["::1", edge6.port]
    assert dict(scope["headers"])["x-forwarded-for"] == "::1"


def test_scheme_is_https(secure_edge: Edge) -> None:
    """Over TLS the scheme is https, and the certificate is one that the visitor can check."""
    scope, own = exchange(secure_edge, get(b"/x?y"), tls=trust(secure_edge))
    assert (scope["scheme"], scope["client"]) == ("https", own)
    assert dict(scope["headers"])["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websocket_scope(request: pytest.FixtureRequest, scheme: str) -> None:
    """A WebSocket has the scheme, peer, path and query of its handshake."""
    edge: Edge = request.getfixturevalue("edge" if scheme == "ws" else "secure_edge")
    tls = trust(edge) if scheme == "wss" else None
    with open_websocket(edge, HOST, "/a%2Fb//c?d=%ff&e", tls=tls) as websocket:
        own = list(websocket.local_address[:2])
        scope = json.loads(websocket.recv(timeout=TIMEOUT))
    assert (scope["type"], scope["scheme"]) == ("websocket", scheme)
    assert scope["client"] == own
    assert (scope["path"], scope["raw_path"]) == ("/a/b//c", "/a%2Fb//c")
    assert scope["query_string"] == "d=%ff&e"
    assert scope["subprotocols"] == []
    assert dict(scope["headers"])["host"] == f"{HOST}:{edge.port}"


@pytest.mark.parametrize("host", [HOST, HOST.upper(), f"{HOST}:8443", f"{HOST}."])
def test_host_is_as_sent(edge: Edge, host: str) -> None:
    """The Host field reaches the app as the visitor sent it; the added one is equal."""
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    fields = dict(exchange(edge, head)[0]["headers"])
    assert fields["host"] == host
    assert fields["x-forwarded-host"] == host


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"//",
        b"/a%2Fb%2fc",
        b"/a%00b",
        b"/%ff%fe",
        b"/%25%32%46",
        b"//evil.example//x/",
        b"/a;b=1/..;/c;",
        b"/a/../b/./c",
        b"/a%20b+c",
        b"/%",
        b"/%zz",
        b"/?",
        b"/??",
        b"/a?b=%2F&c=%00&d=%ff&&=;e",
        b"/a?b?c=//../",
        b"/|{}^\\\"<>`'",
    ],
)
def test_path_and_query_byte_for_byte(edge: Edge, target: bytes) -> None:
    """Neither edge nor tunnel normalises a target; ``path`` is it, decoded once."""
    scope, _ = exchange(edge, get(target))
    raw, _, query = target.partition(b"?")
    assert scope["raw_path"].encode("latin-1") == raw
    assert scope["query_string"].encode("latin-1") == query
    assert scope["path"] == unquote(raw.decode("utf-8", "replace"))
    assert scope["root_path"] == ""


def test_absolute_target_loses_its_authority(edge: Edge) -> None:
    """``GET http://host/path`` is the path at that host."""
    scope, _ = exchange(edge, get(f"http://{HOST}/a%2Fb?c".encode()))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b", "/a%2Fb", "c")


def test_target_of_options_is_an_asterisk(edge: Edge) -> None:
    """``OPTIONS *`` reaches the app as it is."""
    scope, _ = exchange(edge, get(b"*", method=b"OPTIONS"))
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("OPTIONS", "*", "*")


@pytest.mark.parametrize("method", [b"HEAD", b"PATCH", b"PROPFIND", b"CUSTOM", b"_DO_DELETE"])
def test_method_is_the_visitors(edge: Edge, method: bytes) -> None:
    """Any method passes, known or not."""
    if method == b"HEAD":
        with pytest.raises(json.JSONDecodeError):  # answered without a body
            exchange(edge, get(b"/", method=method))
        return
    assert exchange(edge, get(b"/", method=method))[0]["method"] == method.decode()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_http_version_is_the_visitors(edge: Edge, version: str) -> None:
    """The app learns which HTTP version the visitor speaks."""
    scope, _ = exchange(edge, get(b"/", version=version.encode()))
    assert scope["http_version"] == version


def test_fields_keep_order_duplicates_and_bytes(edge: Edge) -> None:
    """Names come in lower case, values without the white space around them, all else as sent."""
    sent = [
        (b"X-Second", b"2"),
        (b"X-First", b"1"),
        (b"Cookie", b"a=1; b=2"),
        (b"x-second", b"\t3 4\t "),
        (b"COOKIE", b"c=3"),
        (b"X-Empty", b""),
        (b"X-Bytes", b"\xc3\xbc \xff\x80 \t|"),
        (b"X_Under_Score", b"u"),
        (b"Accept", b"text/html"),
        (b"X-First", b"1"),
        (b"Authorization", b"Bearer visitor"),
    ]
    scope, _ = exchange(edge, get(b"/", *(name + b": " + value for name, value in sent)))
    expected = [["host", HOST]]
    expected += [[n.decode().lower(), v.strip(b" \t").decode("latin-1")] for n, v in sent]
    assert scope["headers"][: -len(ADDED)] == expected
    assert [name for name, _ in scope["headers"][-len(ADDED) :]] == ADDED


MADE_UP = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "True-Client-IP",
    "Fastly-Client-IP",
    "X_Request_ID",
]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_made_up_identity_is_not_relayed(edge: Edge, kind: str) -> None:
    """No field that could say who a visitor is reaches the app, in any spelling a server maps."""
    spellings = [
        spelling
        for name in MADE_UP
        for spelling in (name, name.upper(), name.replace("-", "_"), name.replace("-", "_", 1))
    ]
    fields = [f"{name}: 6.6.6.6".encode() for name in spellings]
    head = get(b"/", *fields)
    if kind == "websocket":
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        upgrade += b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        head = head.replace(b"Connection: close", upgrade)
        scope, own = upgraded(edge, head)
    else:
        scope, own = exchange(edge, head)
    assert "6.6.6.6" not in json.dumps(scope)
    names = [name for name, _ in scope["headers"]]
    assert [name for name in names if name.replace("_", "-") in ADDED] == ADDED
    assert scope["client"] == own
    assert dict(scope["headers"])["x-forwarded-for"] == "127.0.0.1"
    assert dict(scope["headers"])["x-forwarded-proto"] == "http"


def upgraded(edge: Edge, head: bytes) -> tuple[dict[str, Any], list[Any]]:
    """Send a WebSocket handshake as it is; return the scope of the first message."""
    with socket.create_connection(("127.0.0.1", edge.port), TIMEOUT) as sock:
        sock.sendall(head)
        data = b""
        while b"}" not in data:
            piece = sock.recv(65536)
            assert piece, data
            data += piece
        assert data.startswith(b"HTTP/1.1 101 ")
        text = data[data.index(b"{") : data.rindex(b"}") + 1]
        return json.loads(text), list(sock.getsockname()[:2])


def test_hop_fields_stay_at_the_edge(edge: Edge) -> None:
    """Fields for one connection only, and those that Connection names, are not relayed."""
    head = get(b"/", b"Keep-Alive: 5", b"TE: gzip", b"X-Hop: 1", b"Upgrade: h2c")
    head = head.replace(b"Connection: close", b"Connection: close, X-Hop")
    names = [name for name, _ in exchange(edge, head)[0]["headers"]]
    assert names == ["host", *ADDED]


def test_root_path_comes_before_the_path(
    edge: Edge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``--root-path`` stands before ``path`` and ``raw_path`` and in ``root_path``."""
    folder = tmp_path_factory.mktemp("root")
    token = edge.create_token("mounted")
    with running_app(folder, token, APP, "--root-path", "/shop/", app_dir=ROOT):
        head = get(b"/a%2Fb?c").replace(HOST.encode(), b"mounted.example.test")
        scope, _ = exchange(edge, head)
    assert scope["root_path"] == "/shop"
    assert (scope["path"], scope["raw_path"]) == ("/shop/a/b", "/shop/a%2Fb")
    assert scope["query_string"] == "c"


def test_a_visitors_request_id_is_kept(edge: Edge) -> None:
    """The field is the visitor's; without one the edge's own id is put in, a random one."""
    scope, _ = exchange(edge, get(b"/", b"X-Request-ID: mine-1"))
    assert [value for name, value in scope["headers"] if name == "x-request-id"] == ["mine-1"]
    first, second = (
        dict(exchange(edge, get(b"/"))[0]["headers"])["x-request-id"] for _ in range(2)
    )
    assert (len(first), len(second)) == (32, 32)
    assert first[:8] != second[:8]  # no number that tells of other requests
