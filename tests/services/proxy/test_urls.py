"""Locations and Destinations: what a service calls its own, and what a visitor does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.scripted import OK, answering, scripted

from asgi_tunnel import Services
from asgi_tunnel.services.proxy.errors import RequestError
from asgi_tunnel.services.proxy.urls import UrlMap
from asgi_tunnel.services.service import ProxyTarget, Service
from asgi_tunnel.testing import LocalEdge

HOST = "a.test"


def urls(*, scheme: str = "http", send_host: str = "", **keys: Any) -> UrlMap:
    """The URLs of a service on port 8096."""
    host = "localhost" if scheme == "unix" else "127.0.0.1"
    target = ProxyTarget(scheme=scheme, host=host, port=8096, send_host=send_host)
    return UrlMap(Service(hostname=HOST, target=target, **keys), target)


def scope(*, host: str = HOST, root: str = "", scheme: str = "https") -> dict[str, Any]:
    """Of a call of a visitor at ``host``."""
    return {"scheme": scheme, "root_path": root, "headers": [(b"host", host.encode())]}


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"/x?y", b"/x?y"),
        (b"x", b"x"),
        (b"//other.test/x", b"//other.test/x"),
        (b"https://other.test/x", b"https://other.test/x"),
        (b"http://127.0.0.1:8096/x", b"/x"),
        (b"http://127.0.0.1:8096", b"/"),
        (b"http://127.0.0.1:8096?x", b"/?x"),
        (b"http://127.0.0.1:80960/x", b"http://127.0.0.1:80960/x"),
        (b"http://127.0.0.1:8096@other.test/", b"http://127.0.0.1:8096@other.test/"),
        (b"https://127.0.0.1:8096/x", b"https://127.0.0.1:8096/x"),
        # It was asked by this name, and does not know that TLS ends in front of it.
        (b"http://a.test/x", b"/x"),
        (b"HTTP://A.test/x", b"/x"),
        (b"http://a.test:8096/x", b"/x"),  # nginx adds its own port
        (b"http://a.test:8097/x", b"http://a.test:8097/x"),
        (b"https://a.test/x", b"https://a.test/x"),
    ],
)
def test_a_location_that_names_the_service_is_a_path(sent: bytes, seen: bytes) -> None:
    """Its own address, and the visitor's hostname with its own scheme or port, lead nowhere."""
    assert urls().for_visitor(sent, scope()) == seen


@pytest.mark.parametrize(
    "path", [b"//other.test/", b"/\\other.test", b"/\t/other.test", b"\\other.test"]
)
def test_a_path_never_becomes_another_host(path: bytes) -> None:
    """``//other.test`` behind a hostname is a path; alone it would be a hostname."""
    found = urls().for_visitor(b"http://127.0.0.1:8096" + path, scope())
    assert found == b"https://a.test/" + path.removeprefix(b"/")


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("a.test:8443", b"http://a.test:8443/x"),
        ("a.test:8443", b"http://a.test/x"),
        ("a.test:8443", b"http://a.test:8096/x"),
        ("[2001:db8::1]", b"http://[2001:db8::1]:8096/x"),
    ],
)
def test_the_visitor_s_port_stays(host: str, sent: bytes) -> None:
    """A public port that is not 443 is not lost."""
    assert urls().for_visitor(sent, scope(host=host)) == b"/x"


def test_other_kinds_of_services() -> None:
    """A Unix socket has no address of its own, a fixed Host is one, TLS has its own scheme."""
    assert urls(scheme="unix").for_visitor(b"http://a.test/x", scope()) == b"/x"
    assert urls(scheme="unix").for_visitor(b"http://localhost/x", scope()) == b"http://localhost/x"
    named = urls(send_host="localhost:8096")
    assert named.for_visitor(b"http://localhost:8096/x", scope()) == b"/x"
    secure = urls(scheme="https")
    assert secure.for_visitor(b"https://127.0.0.1:8096/x", scope()) == b"/x"
    assert secure.for_visitor(b"http://a.test/x", scope()) == b"http://a.test/x"


@pytest.mark.parametrize(
    ("keys", "root", "sent", "seen"),
    [
        ({"strip": True}, "/api", b"/in", b"/api/in"),
        ({"strip": True}, "/api", b"https://a.test/in", b"/api/in"),
        ({"strip": True}, "/api", b"http://127.0.0.1:8096//in", b"/api//in"),
        ({"strip": True}, "/api", b"/apix", b"/api/apix"),
        # It has learned its prefix, from its settings or X-Forwarded-Prefix.
        ({"strip": True}, "/api", b"/api/in", b"/api/in"),
        ({"strip": True}, "/api", b"/api?in", b"/api?in"),
        ({"replace": "/v2"}, "", b"/v2/in", b"/api/in"),
        ({"replace": "/v2"}, "", b"/v2?in", b"/api?in"),
        ({"replace": "/v2"}, "", b"/v23", b"/v23"),
        ({"replace": ""}, "", b"/in", b"/api/in"),
        ({"replace": ""}, "", b"/api/in", b"/api/in"),
        ({"strip": True}, "/site/api", b"/in", b"/site/api/in"),
        ({}, "/site", b"/api/in", b"/site/api/in"),
    ],
)
def test_what_was_taken_from_the_path_comes_back(
    keys: dict[str, Any], root: str, sent: bytes, seen: bytes
) -> None:
    """Once, and with what a server around the services has taken as well."""
    assert urls(path="/api", **keys).for_visitor(sent, scope(root=root)) == seen


@pytest.mark.parametrize(
    ("keys", "root", "sent", "seen"),
    [
        ({}, "", b"https://a.test/x", b"https://a.test/x"),
        ({}, "", b"https://b.test/x", b"https://b.test/x"),
        ({}, "", b"other", b"other"),
        ({"path": "/api"}, "", b"https://a.test/api/x", b"https://a.test/api/x"),
        ({"path": "/api"}, "", b"https://a.test/%61pi/x?y", b"https://a.test/%61pi/x?y"),
        ({"path": "/api", "strip": True}, "/api", b"https://a.test/api/x", b"https://a.test/x"),
        ({"path": "/api", "strip": True}, "/api", b"https://a.test/%61pi", b"https://a.test/"),
        ({"path": "/api", "strip": True}, "/api", b"/api/x?y", b"/x?y"),
        ({"path": "/api", "strip": True}, "/site/api", b"/site/api/x", b"/x"),
        ({"path": "/api", "replace": "/v2"}, "", b"/api/x", b"/v2/x"),
        ({"path": "/api", "replace": ""}, "", b"/api", b"/"),
        ({"send_host": "nas:80"}, "", b"https://A.test/x%20y", b"http://nas:80/x%20y"),
        ({"send_host": "nas:80"}, "", b"https://b.test/x", b"https://b.test/x"),
    ],
)
def test_a_destination_is_what_the_service_calls_it(
    keys: dict[str, Any], root: str, sent: bytes, seen: bytes
) -> None:
    """COPY and MOVE name a second resource, which is mapped as the first one is."""
    assert urls(**keys).for_service(sent, scope(root=root)) == seen


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"https://a.test/private/x", 502),
        (b"https://b.test/api/x", 502),
        (b"/private/x", 502),
        (b"//b.test/api/x", 502),
        (b"dav://a.test/private", 502),
        (b"https://a.test", 502),
        (b"https://a.test?/api/x", 502),
        (b"/api/../private/x", 400),
        (b"https://a.test/api/%2e%2e/private", 400),
        (b"../private", 400),
    ],
)
@pytest.mark.parametrize("strip", [True, False])
def test_a_destination_stays_in_the_service(sent: bytes, status: int, *, strip: bool) -> None:
    """Who may reach a path of a server cannot write to another one."""
    with pytest.raises(RequestError) as raised:
        urls(path="/api", strip=strip).for_service(sent, scope(root="/api" if strip else ""))
    assert raised.value.status == status


async def test_a_move_within_a_stripped_path() -> None:
    """The service sees both paths without the prefix; a Destination outside never gets there."""
    async with (
        scripted(answering(OK)) as service,
        LocalEdge(Services({"*/dav": {"to": service.url, "strip": True}}), hostname=HOST) as edge,
    ):
        to = ("destination", "https://a.test/dav/b")
        assert (await edge.request("MOVE", "/dav/a", headers=[to])).status == 200
        to = ("destination", "https://a.test/b")
        assert (await edge.request("MOVE", "/dav/a", headers=[to])).status == 502
    assert service.heads[0].startswith(b"MOVE /a HTTP/1.1\r\n")
    assert b"\r\ndestination: https://a.test/b\r\n" in service.heads[0]
    assert len(service.heads) == 1
