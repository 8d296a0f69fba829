from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.settings.config import EdgeConfig

from .conftest import World, make_world


def test_default_asks_few(world: World) -> None:
    """A guard that can deny nothing with these settings is not asked."""
    names = [type(guard).__name__ for guard in world.guards._guards]
    assert names == ["BanGuard", "ScannerGuard", "RateGuard"]
    off = make_world(rate=0, scanner=False)
    assert [type(guard).__name__ for guard in off.guards._guards] == ["BanGuard"]
    every = make_world({"a.test": {"deny": ["192.0.2.1"], "origins": ["null"]}})
    assert len(every.guards._guards) == 5


def test_first_reason_counts() -> None:
    """A denied request is counted by one guard and costs nothing with the others."""
    world = make_world(rate=1.0, burst=1, deny=["203.0.113.7"])
    for _ in range(5):
        assert world.status("/.env") == 403
    counts = world.guards.counts()
    assert counts.pop("addresses") == 5
    assert set(counts.values()) == {0}


def test_pace_of_one_hostname() -> None:
    """Each of ``min_body_rate`` and ``body_grace`` takes the place of the edge's."""
    table = {
        "domain": "a.test",
        "listen": "127.0.0.1:0",
        "limits": {"min_body_rate": 100},
        "hostnames": {
            "shop.a.test": {"body_grace": 5.0},
            "blog.a.test": {"min_body_rate": 0},
            "both.a.test": {"min_body_rate": 7, "body_grace": 2.0},
        },
    }
    guards = Guards(EdgeConfig.from_table(table, Path()))
    names = ("shop.a.test", "blog.a.test", "both.a.test", "other.a.test")
    assert [tuple(guards.rules(name).pace) for name in names] == [
        (5.0, 500),
        (60.0, 1),
        (2.0, 14),
        (60.0, 6000),
    ]


def test_limits_of_one_hostname() -> None:
    """``max_body`` and ``max_time`` of a name take the place of the edge's; 0 is no limit."""
    table = {
        "domain": "a.test",
        "listen": "127.0.0.1:0",
        "limits": {"max_body": 100, "max_time": 5.0},
        "hostnames": {
            "shop.a.test": {"max_body": 0, "max_time": 60},
            "*.a.test": {"max_body": 7},
        },
    }
    guards = Guards(EdgeConfig.from_table(table, Path()))
    found = {
        name: (guards.rules(name).max_body, guards.rules(name).max_time)
        for name in ("shop.a.test", "blog.a.test", "b.test", None)
    }
    assert found == {
        "shop.a.test": (0, 60.0),
        "blog.a.test": (7, 5.0),
        "b.test": (100, 5.0),
        None: (100, 5.0),
    }


BASE: dict[str, object] = {"domain": "a.test", "listen": "127.0.0.1:0"}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"guards": {"rat": 1}},
            "guards.rat: there is no such setting; did you mean rate?",
        ),
        (
            {"guards": {"deny": ["10.0.0.0/33"]}},
            (
                'guards.deny: expected an IP address or a network, got "10.0.0.0/33"; '
                "write for example 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
            ),
        ),
        (
            {"guards": {"deny": "10.0.0.1"}},
            (
                'guards.deny: expected a list of addresses and networks, got str "10.0.0.1"; '
                'write for example deny = ["127.0.0.0/8", "::1/128"]'
            ),
        ),
        (
            {"guards": {"rate": -1}},
            (
                "guards.rate: expected a number a second, or 0 for no limit, got int -1; "
                "write for example rate = 200.0"
            ),
        ),
        (
            {"hostnames": {"shop.a.test": {"max_bodi": 1}}},
            'hostnames."shop.a.test".max_bodi: there is no such setting; did you mean max_body?',
        ),
        (
            {"hostnames": {"shop.a.test": {"exempt": []}}},
            (
                'hostnames."shop.a.test".exempt: there is no such setting; remove it, or use one '
                "of max_body, max_time, min_body_rate, body_grace, allow, deny, rate, burst, "
                "hostname_rate, hostname_burst, scanner, origins, hsts, server_timing, access, "
                "access_paths"
            ),
        ),
        (
            {"hostnames": {"shop.a.test": {"max_time": "1h"}}},
            (
                'hostnames."shop.a.test".max_time: expected a number of seconds, got str "1h"; '
                "write for example max_time = 60.0"
            ),
        ),
        (
            {"hostnames": {"shop.a.test": {"origins": ["https://a.test/"]}}},
            (
                'hostnames."shop.a.test".origins: expected an origin in lower case, without a '
                'path, got "https://a.test/"; write for example "https://shop.example.org", '
                '"null" or "none" (no Origin field)'
            ),
        ),
        (
            {"hostnames": {"a b": {}}},
            (
                'hostnames."a b": has characters other than letters, digits, hyphens, '
                'underscores and dots; write for example [hostnames."shop.example.org"]'
            ),
        ),
        (
            {"hostnames": {"A.test": {}, "a.test.": {}}},
            (
                'hostnames."a.test.": is a.test, which another table sets already; '
                "make one table of them"
            ),
        ),
        (
            {"hostnames": {"a.test": 5}},
            (
                'hostnames."a.test": expected a table, got int 5; '
                'write [hostnames."NAME"] on a line of its own and its settings below'
            ),
        ),
        (
            {"hostnames": []},
            (
                "hostnames: expected tables, got a list; "
                'write [hostnames."NAME"] on a line of its own and its settings below'
            ),
        ),
    ],
)
def test_wrong_settings(table: dict[str, object], sentence: str) -> None:
    """T30: a setting that would not be read is refused, with where it stands and what to do."""
    with pytest.raises(EdgeConfigError) as caught:
        EdgeConfig.from_table({**BASE, **table}, Path())
    assert str(caught.value) == f"edge.toml: {sentence}"
