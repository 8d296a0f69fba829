"""``[dashboard]``: what is taken, what is refused, and the door that follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.issuance import wanted_certificates
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.dashboard import MAX_BODY, check_not_reserved
from asgi_tunnel_edge.tokens import Snapshot

MINIMAL = 'domain = "example.org"\nlisten = "127.0.0.1:8080"\n'


def load(content: str) -> EdgeConfig:
    """Check an edge.toml with this content."""
    return EdgeConfig.from_text(MINIMAL + content, Path("/nowhere"))


def test_it_is_off() -> None:
    """Without a hostname and an address there is no door, no policy and no certificate."""
    for content in ("", '[dashboard]\noperators = ["anna"]\n'):
        config = load(content)
        assert not config.dashboard.is_on
        assert config.policies == {}
        assert config.own_hostnames == {}
        assert config.dashboard_address is None


def test_everybody_with_a_login_of_this_edge_passes_the_door() -> None:
    """Of whom only a provider vouches for: the operators."""
    config = load(
        '[dashboard]\nhostname = "Admin.Example.org."\nlisten = "[::1]:9181"\n'
        'operators = ["anna", "carl@example.org"]\noperator_groups = ["staff"]\n'
    )
    assert config.dashboard.hostname == "admin.example.org"
    policy = config.policies["dashboard"]
    assert policy.users == ("*",)
    assert policy.groups == ("staff",)
    assert policy.emails == ("carl@example.org",)
    assert policy.domains == ()
    assert set(policy.methods) == {"passkey", "password", "oidc", "token"}
    assert policy.session == 43_200
    assert set(config.own_hostnames) == {"admin.example.org", "localhost"}
    for name in ("admin.example.org", "localhost"):
        rules = Guards(config, lambda: 0.0).rules(name)
        assert rules.door is not None
        assert [one.name for one in rules.door.policies_of(b"GET", b"/any")] == ["dashboard"]
        assert rules.max_body == MAX_BODY
    assert Guards(config, lambda: 0.0).rules("shop.example.org").door is None


def test_guards_of_its_hostname_hold() -> None:
    """Its own table may say from where it is reached; a wildcard's exceptions open nothing."""
    config = load(
        '[dashboard]\nhostname = "admin.example.org"\n'
        '[access.family]\nusers = ["ben"]\n'
        '[hostnames."*.example.org"]\naccess = "family"\naccess_paths = { "/" = "public" }\n'
        '[hostnames."admin.example.org"]\nallow = ["10.0.0.0/8"]\nmax_body = 100\n'
    )
    rules = Guards(config, lambda: 0.0).rules("admin.example.org")
    assert rules.allow is not None
    assert rules.max_body == 100
    assert rules.door is not None
    assert [one.name for one in rules.door.policies_of(b"GET", b"/")] == ["dashboard"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            'listen = "0.0.0.0:9181"',
            'edge.toml: dashboard.listen: is "0.0.0.0:9181", and this address speaks plain HTTP',
        ),
        ('listen = "192.0.2.1:1"', "so it is for this machine"),
        ('listen = "[::]:9181"', "so it is for this machine"),
        ('listen = "example.org:9181"', "so it is for this machine"),
        ('listen = "9181"', "expected HOST:PORT"),
        ('hostname = "*.example.org"', "dashboard.hostname: has a *"),
        ('hostname = "a b"', "dashboard.hostname: has characters other than"),
        ('hostname = "localhost"', "dashboard.hostname: is localhost, which is the name at"),
        ('hostname = "127.0.0.1"', "dashboard.hostname: is an IP address"),
        ('hostname = "a.example.org"\nmethods = ["link"]', "dashboard.methods"),
        ('hostname = "a.example.org"\nmethods = ["basic"]', "dashboard.methods"),
        ('hostname = "a.example.org"\noperator = "anna"', "dashboard.operator: there is no such"),
        (
            'hostname = "a.example.org"\n[access.dashboard]\nusers = ["anna"]',
            "access.dashboard: is the name of the dashboard's own door",
        ),
        (
            'hostname = "a.example.org"\n[access.x]\n[hostnames."a.example.org"]\naccess = "x"',
            "and the dashboard has a door of its own",
        ),
        (
            (
                'hostname = "a.example.org"\n[hostnames."a.example.org"]\n'
                'access_paths = { "/x" = "public" }'
            ),
            "access_paths: is set, and the dashboard has a door of its own",
        ),
    ],
)
def test_what_is_wrong(content: str, sentence: str) -> None:
    """One clear sentence for each."""
    with pytest.raises(EdgeConfigError) as caught:
        load(f"[dashboard]\n{content}\n")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.9.1:80", "[::1]:9181", "localhost:9181"])
def test_addresses_of_this_machine(listen: str) -> None:
    """Each of them may be listened on."""
    assert str(load(f'[dashboard]\nlisten = "{listen}"\n').dashboard_address) == listen


def test_the_hostname_is_no_tokens() -> None:
    """A wildcard above it may be one's: the dashboard comes first."""
    config = load('[dashboard]\nhostname = "admin.example.org"\n')
    check_not_reserved(config.dashboard, ["shop.example.org", "*.example.org"], setting="HOST")
    with pytest.raises(EdgeConfigError, match=r"HOST: admin.example.org is the dashboard's"):
        check_not_reserved(config.dashboard, ["a.example.org", "admin.example.org"], setting="HOST")


def test_the_hostname_gets_a_certificate() -> None:
    """Like a token's: alone, or by the wildcard."""
    base = '[tls]\nmode = "acme"\n[dashboard]\nhostname = "{}"\n[acme]\nemail = "a@example.org"\n'
    nobody = Snapshot.of(1, [])
    alone = load(base.format("admin.example.org"))
    assert ("admin.example.org",) in wanted_certificates(alone, nobody)
    wild = load(base.format("admin.example.org") + 'dns = "zone"\n')
    assert wanted_certificates(wild, nobody) == [("*.example.org", "example.org")]
    away = load(base.format("edge.example.net") + 'dns = "zone"\n')
    assert ("edge.example.net",) in wanted_certificates(away, nobody)
