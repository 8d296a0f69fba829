"""Where a login leads back to, and whose forms it takes."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from asgi_tunnel_edge.access.paths import Door
from asgi_tunnel_edge.access.policy import Policy
from asgi_tunnel_edge.login.place import Place, is_own_origin, place_of, safe_target
from asgi_tunnel_edge.settings.access import AccessConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig

POLICIES = {
    "family": Policy("family", AccessConfig(methods=("password", "link"))),
    "operators": Policy("operators", AccessConfig(methods=("password", "passkey"))),
}
DOOR = Door(
    HostnameConfig(access="family", access_paths={"/admin": "operators", "/open": "public"}),
    POLICIES,
)


def request(query: str = "", host: str = "shop.example.test", **headers: str) -> Request:
    """A request to one of the login's pages."""
    fields = {"host": host, **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "https",
        "method": "GET",
        "path": "/.well-known/asgi-tunnel/access/login",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("2001:db8::7", 1),
        "server": ("shop.example.test", 443),
    }
    return Request(scope)


def place(query: str = "", host: str = "shop.example.test") -> Place:
    """Where it is."""
    found = place_of(
        request(query, host), lambda name: DOOR if name == "shop.example.test" else None
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        "//evil.test", "/\\evil.test", "https://evil.test", "javascript:alert(1)", "evil", "",
        "/\t/evil.test", "/a\nb", "/ü", "/a b", "/a\\b", "\x00/", " /a", "/" + "a" * 2000,
        "/.well-known/asgi-tunnel/access/logout", "data:text/html,x", "///evil.test",
    ],
)  # fmt: skip
def test_targets_of_elsewhere(text: str) -> None:
    """The first page in their place."""
    assert safe_target(text) == "/"


@pytest.mark.parametrize("text", ["/", "/a/b?c=d#e", "/a//b", "/@evil.test", "/%2f%2fevil.test"])
def test_targets_of_here(text: str) -> None:
    """They stay as they are."""
    assert safe_target(text) == text


def test_what_a_login_asks_for_depends_on_where_it_leads() -> None:
    """A page without a door of its own leads to the hostname's."""
    assert [one.name for one in place("to=/x").policies] == ["family"]
    assert [one.name for one in place("to=/admin").policies] == ["operators"]
    assert [one.name for one in place("to=/open").policies] == ["family"]
    both = place("to=/x//y")
    assert {one.name for one in both.policies} == {"family", "operators"}
    assert both.methods == {"password"}
    assert place("to=/x").login_url == "/.well-known/asgi-tunnel/access/login?to=%2Fx"


def test_the_place_is_one_of_this_hostname() -> None:
    """In any spelling of its name; another hostname has no login."""
    assert place(host="SHOP.example.test:8443").origin == "https://shop.example.test:8443"
    assert place().group == "2001:db8::/64"
    assert place_of(request(host="x.test"), lambda _: None) is None
    assert place_of(request(host="not a name"), lambda _: DOOR) is None


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"origin": "https://shop.example.test"}, True),
        ({"origin": "HTTPS://Shop.example.test"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://shop.example.test"}, False),
        ({"origin": "https://shop.example.test:1"}, False),
        ({"origin": "https://shop.example.test.evil.test"}, False),
        ({"referer": "https://shop.example.test/"}, False),
    ],
)
def test_forms_of_this_hostname(headers: dict[str, str], is_own: bool) -> None:
    """By the field that browsers send with each form, and pages cannot set."""
    assert is_own_origin(request(**headers), place()) is is_own
