from __future__ import annotations

import re

import pytest

from asgi_tunnel_edge.guards import scanner
from asgi_tunnel_edge.guards.scanner import is_probe

from .conftest import World, make_world

PROBES: list[str] = re.findall(
    r"\S+",
    """
/.env /.ENV /.env?x=1 //.env /%2eenv /.e%6ev /.env.production /.env.bak /api/.env /laravel/.env
/.git/config /.git/HEAD /.svn/entries /.aws/credentials /.ssh/id_rsa /.DS_Store /.htpasswd
/wp-login.php /wp-login.php?redirect_to=x /blog/wp-login.php /wordpress/wp-login.php /xmlrpc.php
/wp-config.php.bak /wp-admin/install.php /wp-admin/setup-config.php?step=1
/wp/wp-includes/wlwmanifest.xml /phpmyadmin /phpMyAdmin/index.php /pma/scripts/setup.php
/phpinfo.php /vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php /_ignition/execute-solution
/cgi-bin/luci/;stok=/locale /cgi-bin/.%2e/.%2e/bin/sh /boaform/admin/formLogin /HNAP1/
/GponForm/diag_Form?style/ /manager/html /solr/admin/info/system /owa/auth/logon.aspx
/actuator/env
""",
)

ORDINARY: list[str] = re.findall(
    r"\S+",
    """
/ /admin/ /admin/login/ /login /wp-content/uploads/2019/05/cat.jpg /wp-admin/ /index.php
/api/v1/items/17?page=2 /.well-known/acme-challenge/x /.well-known/security.txt /robots.txt
/environment /.environment /docs/.env-file-explained /files/project/.env /files/.git/config
/repo.git/info/refs?service=git-upload-pack /me/site.git/HEAD /pma /actuator/health /server-status
/search?q=/.env /search?next=/wp-login.php /static/wp-login.php.html /wp-login.php/x /manager
/cgi-bin/report.py /100%25/off /caf%C3%A9 /git/config /env /api/env
""",
)

TOOLS = [
    "sqlmap/1.9#stable (https://sqlmap.org)",
    "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:map_codes)",
    "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
    "Mozilla/5.0 zgrab/0.x",
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
    "WPScan v3.8.28 (https://wpscan.com/wordpress-security-scanner)",
    "gobuster/3.8",
    "Fuzz Faster U Fool v2.1.0-dev",
]

GOOD_AGENTS = [
    "curl/8.14.1",
    "Wget/1.25.0",
    "python-requests/2.32.5",
    "python-httpx/0.28.1",
    "Go-http-client/1.1",
    "okhttp/5.1.0",
    "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    "GitHub-Hookshot/abcdef0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Uptime-Kuma/2.0",
]


@pytest.mark.parametrize("target", PROBES)
def test_probe_gets_404_and_a_ban(world: World, target: str) -> None:
    """A probe is answered as if nothing were there; its sender is out for ten minutes."""
    assert world.status(target) == 404
    assert world.status("/") == 403
    assert world.status("/", host="other.test", name="") == 403
    world.wait(599)
    deny = world.ask("/")
    assert deny is not None
    assert (deny.status, deny.retry_after, deny.source) == (403, 1, "scanner")
    world.wait(1)
    assert world.status("/") == 0
    assert world.guards.counts()["scanner"] == 4
    assert world.guards.counts()["scanner_probes"] == 1


@pytest.mark.parametrize("target", ORDINARY)
def test_ordinary_paths_pass(world: World, target: str) -> None:
    """What an app may serve, deep paths with such names too, is let through."""
    assert world.status(target) == 0


@pytest.mark.parametrize("agent", TOOLS)
def test_tool_gets_404_and_a_ban(world: World, agent: str) -> None:
    """A tool that names itself is known by that, whatever it asks for, and also the next time."""
    assert world.status("/", f"User-Agent: {agent}") == 404
    assert world.status("/", f"User-Agent: {agent}", address="198.51.100.1") == 404
    assert world.status("/") == 403


@pytest.mark.parametrize("agent", GOOD_AGENTS)
def test_programs_and_bots_pass(world: World, agent: str) -> None:
    """Programs, callbacks and search engines are no scanners."""
    for _ in range(2):
        assert world.status("/", f"User-Agent: {agent}") == 0


def test_probe_of_an_unknown_name(world: World) -> None:
    """A probe of any hostname bans, also of one that nobody serves."""
    assert world.status("/.env", host="10.0.0.1", name="") == 404
    assert world.status("/") == 403


def test_pages_elsewhere_ban_nobody(world: World) -> None:
    """A page that makes browsers ask for ``/.env`` gets them a 404, and no ban."""
    for site in ("cross-site", "same-site"):
        assert world.status("/.env", f"Sec-Fetch-Site: {site}") == 404
        assert world.status("/") == 0
    assert world.status("/.env", "Sec-Fetch-Site: none") == 404
    assert world.status("/") == 403


def test_exempt_addresses_are_not_banned(world: World) -> None:
    """A proxy on this machine, or its owner, is not shut out for one visitor's probe."""
    assert world.status("/.env", address="127.0.0.1") == 404
    assert world.status("/", address="127.0.0.1") == 0


def test_ban_of_an_ipv6_network(world: World) -> None:
    """Another address of the same /64 is the same visitor."""
    assert world.status("/.env", address="2001:db8::1") == 404
    assert world.status("/", address="2001:db8::ffff") == 403
    assert world.status("/", address="2001:db8:0:1::1") == 0


def test_hostname_switches_it_off() -> None:
    """An app with a real ``/wp-login.php`` gets it, and its visitors; other names stay guarded."""
    world = make_world({"blog.a.test": {"scanner": False}})
    assert world.status("/wp-login.php", host="blog.a.test") == 0
    assert world.status("/") == 0
    assert world.status("/wp-login.php") == 404
    assert world.status("/", host="blog.a.test") == 0
    assert world.status("/") == 403


def test_hostname_switches_it_on() -> None:
    """Off for the edge, it can be on for one name; a ban of 0 seconds is a 404 only."""
    world = make_world({"shop.a.test": {"scanner": True}}, scanner=False, scanner_ban=0)
    assert world.status("/.env", host="blog.a.test") == 0
    assert world.status("/.env") == 404
    assert world.status("/") == 0


@pytest.mark.plain  # another bound
def test_bans_are_bounded(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """The first one banned goes first."""
    monkeypatch.setattr(scanner, "MAX_BANNED", 10)
    for number in range(15):
        assert world.status("/.env", address=f"192.0.2.{number}") == 404
        assert len(world.guards.scanner) <= 10
    assert world.status("/", address="192.0.2.4") == 0
    assert world.status("/", address="192.0.2.5") == 403


@pytest.mark.plain  # another bound
def test_remembered_agents_are_bounded(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """A flood of made-up User-Agent fields is forgotten again; giant ones are never kept."""
    monkeypatch.setattr(scanner, "_MAX_AGENTS", 10)
    monkeypatch.setattr(scanner, "_agents", {})
    for number in range(50):
        world.ask("/", f"User-Agent: made-up/{number}")
        world.ask("/", f"User-Agent: {'x' * 4000}{number}")
    assert 0 < len(scanner._agents) <= 10
    assert all(len(agent) < 100 for agent in scanner._agents)


def test_long_targets_cost_nothing() -> None:
    """Only the beginning of a target is looked at, however long and however encoded it is."""
    assert not is_probe(b"/" + b"%2e" * 2700)
    assert not is_probe(b"/" * 8000 + b".env")
    assert not is_probe(b"/" + b"wp/" * 2700)
