from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel.errors import ConfigError
from asgi_tunnel.services.service import (
    AppTarget,
    FolderTarget,
    ProxyTarget,
    RedirectTarget,
    StatusTarget,
)
from asgi_tunnel.services.settings import read_services


def read(*tables: Any) -> Any:
    """The first service of tables."""
    return read_services(list(tables), folder=Path("/"))[0]


@pytest.mark.parametrize(
    ("table", "target"),
    [
        ({"to": "main:app"}, AppTarget(where="main:app")),
        (
            {"to": "a.b:c.d", "interface": "wsgi", "factory": True},
            AppTarget(where="a.b:c.d", interface="wsgi", factory=True),
        ),
        (
            {"to": "http://127.0.0.1:8096"},
            ProxyTarget(scheme="http", host="127.0.0.1", port=8096),
        ),
        (
            {"to": "http://[::1]:80/", "host": "localhost:8096", "connect_timeout": 1},
            ProxyTarget(
                scheme="http", host="::1", port=80, send_host="localhost:8096", connect_timeout=1.0
            ),
        ),
        (
            {"to": "https://nas.lan", "verify": False},
            ProxyTarget(scheme="https", host="nas.lan", port=443, verify=False),
        ),
        (
            {"to": "unix:/run/x.sock"},
            ProxyTarget(scheme="unix", host="localhost", port=0, socket="/run/x.sock"),
        ),
        ({"to": "/", "listing": True}, FolderTarget(folder="/", listing=True)),
        ({"redirect": "https://b.test"}, RedirectTarget(url="https://b.test")),
        (
            {"redirect": "/new?x", "status": 302, "keep_path": False},
            RedirectTarget(url="/new?x", status=302, keep_path=False),
        ),
        ({"status": 410, "text": "gone"}, StatusTarget(status=410, text="gone")),
    ],
)
def test_each_kind_of_service_is_read(table: dict[str, Any], target: object) -> None:
    """What a table says is what the service is."""
    assert read({"hostname": "a.test", **table}).target == target


def test_a_mapping_is_read_in_order() -> None:
    """A program writes hostname and path as one; the value is an app, `to`, or a table."""

    async def app(scope: object, receive: object, send: object) -> None: ...

    found = read_services(
        {"A.test/x/": app, "b.test": "http://127.0.0.1:1", "*": {"status": 404}}, folder=Path("/")
    )
    assert [one.name for one in found] == ["a.test/x", "b.test", "*"]
    assert found[0].target == AppTarget(app=app)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({}, "service 1: hostname is missing; write it like photos.example.org"),
        ({"hostname": "a b"}, "service a b: hostname is no hostname"),
        ({"hostname": "http://a.test"}, "hostname is more than a name"),
        ({"hostname": "a.*.test"}, "hostname is no hostname"),
        ({"hostname": "bücher.test"}, "hostname is not ASCII; write its xn-- form"),
        ({"hostname": "a"}, "service a does not say what answers; give one of: to"),
        ({"hostname": "a", "to": "x:y", "redirect": "/"}, "has both to and redirect"),
        ({"hostname": "a", "to": 7}, "service a: to is no text"),
        ({"hostname": "a", "to": "nonsense"}, "which nobody can go to; write http://127.0.0.1"),
        ({"hostname": "a", "to": "ftp://x"}, "which nobody can go to"),
        ({"hostname": "a", "path": "api", "to": "m:a"}, "service aapi: path is no path"),
        ({"hostname": "a", "path": "/a/../b", "to": "m:a"}, "path is no path"),
        ({"hostname": "a", "path": "/a%2f", "to": "m:a"}, "path is no path"),
        ({"hostname": "a", "strip": True, "to": "m:a"}, "strip has no path to change"),
        ({"hostname": "a", "strip": 1, "to": "m:a"}, "strip is neither true nor false"),
        (
            {"hostname": "a", "path": "/x", "strip": True, "replace": "/y", "to": "m:a"},
            "strip and replace exclude each other",
        ),
        ({"hostname": "a", "path": "/x", "replace": "/../y", "to": "m:a"}, "replace is no path"),
        ({"hostname": "a", "to": "http://x/base"}, "has a path behind the port; leave it out, and"),
        ({"hostname": "a", "to": "http://u:p@x"}, "has more than host and port"),
        ({"hostname": "a", "to": "http://x:99999"}, "to is no URL"),
        ({"hostname": "a", "to": "http://x", "verify": False}, "verify is about TLS"),
        ({"hostname": "a", "to": "http://x", "idle_timeout": -1}, "idle_timeout is not between"),
        ({"hostname": "a", "to": "http://x", "idle_timeout": "1"}, "idle_timeout is no number"),
        ({"hostname": "a", "to": "http://x", "max_connections": 0}, "is no number from 1 to"),
        ({"hostname": "a", "to": "http://x", "host": "a\r\nb"}, "host is no name"),
        ({"hostname": "a", "to": "http://x", "hots": "b"}, "hots is no key of a service; write ho"),
        ({"hostname": "a", "to": "http://x", "listing": True}, "listing does not fit what answers"),
        ({"hostname": "a", "to": "/nowhere/at/all"}, "which is no folder; create it"),
        ({"hostname": "a", "to": "unix:x"}, "to names no socket"),
        ({"hostname": "a", "to": "m:a", "interface": "cgi"}, "interface is none of asgi, wsgi"),
        ({"hostname": "a", "redirect": "//evil.test"}, "redirect is no URL"),
        ({"hostname": "a", "redirect": "/x", "status": 200}, "status is no redirect"),
        ({"hostname": "a", "redirect": "/x?y"}, "redirect has a query"),
        ({"hostname": "a", "status": 199}, "status is no number from 200 to 599"),
        ({"hostname": "a", "status": True}, "status is no number"),
    ],
)
def test_what_cannot_be_used_gets_one_sentence(table: dict[str, Any], sentence: str) -> None:
    """Each sentence names the service and the key, and says what to do."""
    with pytest.raises(ConfigError) as caught:
        read(table)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_service_stands_there_once() -> None:
    """The second one would never be reached."""
    with pytest.raises(ConfigError, match=r"services has a/x twice; remove one"):
        read(
            {"hostname": "a", "path": "/x", "status": 200},
            {"hostname": "A", "path": "/x/", "status": 201},
        )
