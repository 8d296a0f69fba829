from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from asgi_tunnel.inspector.curl import MAX_ARGUMENT, curl_command
from asgi_tunnel.inspector.reply import RefusedError

from .details import body, exchange, message

AGENT = ("user-agent", "shop-app/1.0")
ACCEPT = ("accept", "*/*")
ALL_BYTES = bytes(range(256))


class Heard:
    """One request as it came: its first line, its fields with lower-case names, its body."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.line, *lines = head.split(b"\r\n")
        pairs = [line.partition(b":") for line in lines]
        self.fields = [(name.lower(), value.strip()) for name, _, value in pairs]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field."""
        return [value for one, value in self.fields if one == name]


@contextmanager
def server() -> Iterator[tuple[int, list[Heard]]]:
    """A server of one request, which keeps it byte for byte."""
    heard: list[Heard] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(30)
                raw = b""
                while b"\r\n\r\n" not in raw:
                    raw += connection.recv(65536)
                length = int((Heard(raw).values(b"content-length") or [b"0"])[0])
                while len(Heard(raw).body) < length:
                    raw += connection.recv(65536)
                heard.append(Heard(raw))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        thread.join(30)


def pasted(detail: dict[str, Any], **variables: str) -> Heard:
    """What arrives when the command for an exchange is given to bash."""
    with server() as (port, heard):
        detail["scheme"] = "http"
        detail["host"] = f"127.0.0.1:{port}"
        command = curl_command(detail)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc"],
            input=command.replace("curl ", "curl --silent --show-error --max-time 20 ", 1),
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
    (one,) = heard
    return one


def test_a_get() -> None:
    """The fields are the visitor's, and none of curl's own is added."""
    found = pasted(exchange(path="/a?b=c&d=1", fields=[AGENT, ("x-Two", "1"), ("x-two", "2")]))
    assert found.line == b"GET /a?b=c&d=1 HTTP/1.1"
    assert [one for one in found.fields if one[0] != b"host"] == [
        (b"user-agent", b"shop-app/1.0"),
        (b"x-two", b"1"),
        (b"x-two", b"2"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        'it\'s $HOME `id` $(id) \\n "x" !! %s',
        "",
        "a;b",
        "@/etc/passwd",
        "\xe9\x80\xff tab\there",
        "gr\xc3\xbc\xc3\x9fe",
        "*",
        "-o x",
        "{a,b}[1-2]",
    ],
)
def test_values(value: str) -> None:
    """Whatever a field says is said again, and the shell reads nothing in it."""
    found = pasted(exchange(fields=[("x-value", value), AGENT, ACCEPT]))
    assert found.values(b"x-value") == [value.encode("latin-1")]


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b/./c",
        "/[1-3]/{a,b}",
        "/it's?q='$HOME'&r=%27",
        "/a//b?x=[]",
        "*",
        "/a?b#c",
    ],
)
def test_targets(path: str) -> None:
    """Nothing of a path is changed: no dots, no brackets, no fragment."""
    assert pasted(exchange("OPTIONS", path)).line == f"OPTIONS {path} HTTP/1.1".encode()


@pytest.mark.parametrize(
    "data",
    [
        '{"it\'s": "$HOME `id` \\" \\\\ !"}\n\n',
        "@/etc/passwd",
        "tabs\tand\r\nlines\x07",
        "gr\u00fc\u00dfe \u4f60 \u202e",
        "-o x",
        ALL_BYTES,
        b"\xff\xfe without a NUL",
        b"\0",
        "x" * (MAX_ARGUMENT + 1),
        b"\x80" * 300_000,
    ],
    ids=repr,
)
def test_bodies(data: bytes | str) -> None:
    """A body arrives byte for byte, whatever it holds and however large it is."""
    fields = [AGENT, ("content-type", "text/plain"), ("content-length", "7")]
    found = pasted(exchange("POST", "/up", fields=fields, sent=body(data)))
    raw = data.encode() if isinstance(data, str) else data
    assert found.line == b"POST /up HTTP/1.1"
    assert found.body == raw
    assert found.values(b"content-length") == [b"%d" % len(raw)]
    assert found.values(b"content-type") == [b"text/plain"]
    assert not found.values(b"expect")


def test_methods() -> None:
    """Each is sent as it was; HEAD waits for no body, and one without a body gets none."""
    assert pasted(exchange("DELETE", "/x")).line == b"DELETE /x HTTP/1.1"
    assert pasted(exchange("HEAD", "/x")).line == b"HEAD /x HTTP/1.1"
    found = pasted(exchange("PUT", "/x", sent=body("a")))
    assert (found.line, found.body) == (b"PUT /x HTTP/1.1", b"a")
    assert found.values(b"content-type") == []
    found = pasted(exchange("POST", "/x", fields=[("content-length", "0")]))
    assert found.values(b"content-length") == [b"0"]
    assert "# the body is left out" in curl_command(exchange("HEAD", "/x", sent=body("a")))


def test_secrets_are_variables() -> None:
    """Each value that was not kept is asked for by a comment, and set by the shell."""
    detail = exchange(
        "POST",
        "/a?token=[redacted]&b=1",
        fields=[
            AGENT,
            ("authorization", "[redacted]"),
            ("cookie", "session=[redacted]; theme=dark; path=[redacted]"),
        ],
        sent=body('{"password": "[redacted]", "n": ["[redacted]"]}'),
    )
    names = (
        "SECRET_TOKEN=... SECRET_AUTHORIZATION=... SECRET_SESSION=... SECRET_PATH=... "
        "SECRET_PASSWORD=... SECRET=..."
    )
    command = curl_command(detail)
    assert command.startswith(f"# set what was not recorded first: {names}\ncurl ")
    assert "[redacted]" not in command
    found = pasted(
        detail,
        SECRET_TOKEN="t",
        SECRET_AUTHORIZATION="Bearer 'a b'",
        SECRET_SESSION="s",
        SECRET_PATH="p",
        SECRET_PASSWORD='"$x',
        SECRET="n",
    )
    assert found.line == b"POST /a?token=t&b=1 HTTP/1.1"
    assert found.values(b"authorization") == [b"Bearer 'a b'"]
    assert found.values(b"cookie") == [b"session=s; theme=dark; path=p"]
    assert found.body == b'{"password": ""$x", "n": ["n"]}'


def test_what_the_edge_adds_is_left_out() -> None:
    """The edge writes forwarding fields and its request id again; a visitor's own id stays."""
    added = [("x-forwarded-for", "203.0.113.9"), ("x-real-ip", "203.0.113.9"), AGENT]
    found = pasted(exchange(fields=[*added, ("x-request-id", "edge-1")]))
    assert {name for name, _ in found.fields} == {b"host", b"user-agent"}
    found = pasted(exchange(fields=[*added, ("x-request-id", "my own")]))
    assert found.values(b"x-request-id") == [b"my own"]


def test_what_is_missing_is_said() -> None:
    """A body that was cut, and a level without fields, stand in a comment."""
    cut = curl_command(exchange("POST", sent=body("abc", size=9)))
    assert cut.startswith("# only 3 of 9 bytes of the body were kept\ncurl ")
    large = curl_command(exchange("POST", sent=body('{"pin": "[redacted]"}' + " " * MAX_ARGUMENT)))
    assert large.startswith("# parts of the body were not recorded: it says [redacted] there\n")
    bare = curl_command(exchange(level="metadata", request={"fields": None, "body": None}))
    assert bare == (
        "# recorded without fields, body and values of the query (level metadata)\n"
        "curl \\\n  'https://shop.example.org/'\n"
    )


def test_a_websocket() -> None:
    """Is no request for curl, and the sentence says what to use."""
    detail = exchange(kind="websocket", exchange_messages=[message("visitor", "a")])
    with pytest.raises(RefusedError, match="replay it with `asgi-tunnel inspect replay`"):
        curl_command(detail)
