from __future__ import annotations

import logging
import re
import time

import pytest

from asgi_tunnel_edge.ban import ScannerBan
from asgi_tunnel_edge.guards import scanner
from asgi_tunnel_edge.guards.scanner import is_probe
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

from .conftest import FOLDERS, World, make_world

PROBES: list[str] = re.findall(
    r"\S+",
    """
/.env /.ENV /.env?x=1 //.env /%2eenv /.e%6ev /.env.production /.env.bak /api/.env /laravel/.env
/.git/config /.git/HEAD /.svn/entries /.aws/credentials /.ssh/id_rsa /.htpasswd
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
/.DS_Store /.ds_store /files/.DS_Store /._.DS_Store /._report.pdf /Thumbs.db /desktop.ini
/.hidden /.directory /.Trashes /.Spotlight-V100 /.metadata_never_index /.ql_disablethumbnails
/.localized /.fseventsd /autorun.inf /favicon.ico /apple-touch-icon.png /browserconfig.xml
/apple-app-site-association /.well-known/apple-app-site-association /.well-known/assetlinks.json
/.well-known/appspecific/com.chrome.devtools.json /.well-known/change-password /sitemap.xml
/.git/info/refs?service=git-upload-pack /.git/objects/info/packs /ads.txt /humans.txt /sw.js
/autodiscover/autodiscover.xml /cgi-bin/report.py /100%25/off /caf%C3%A9 /git/config /env /api/env
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

PREVIEWS = [
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "Twitterbot/1.0",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mastodon/4.4.0 (http.rb/5.2.0; +https://mastodon.example/)",
]


@pytest.mark.parametrize("target", PROBES)
def test_probe_gets_404(world: World, target: str) -> None:
    """A probe is replied to as if nothing were there, and one bans nobody."""
    reply = world.ask(target)
    assert reply is not None
    assert (reply.status, reply.source) == (404, "scanner")
    assert world.status("/") == 0


def test_scanner_is_banned(world: World) -> None:
    """Who sends six different probes in a minute is out for ten minutes; what is refused counts."""
    assert world.scan() == [404] * 6
    assert world.status("/") == 403
    world.wait(599)
    deny = world.ask("/")
    assert deny is not None
    assert (deny.status, deny.retry_after, deny.source) == (403, 1, "scanner")
    world.wait(1)
    assert world.status("/") == 0
    assert world.guards.counts()["scanner"] == 8
    assert world.guards.counts()["scanner_probes"] == 6
    assert world.scan(5) == [404] * 5
    assert world.status("/") == 0  # begins at zero again


def test_probes_have_to_be_different(world: World) -> None:
    """T63: one link, read by everybody behind a NAT and spelled as one likes, bans nobody."""
    spellings = ("/.env", "//.env", "/.ENV", "/%2eenv", "/.env?x=%d", "/.e%%6ev?%d", "/api//.env")
    for number in range(50):
        for spelling in spellings:
            assert world.status(spelling.replace("%d", str(number)).replace("%%", "%")) == 404
    assert world.status("/") == 0


def test_probes_have_to_be_near_in_time(world: World) -> None:
    """Five a minute are no scanner."""
    for _ in range(5):
        assert world.scan(5) == [404] * 5
        assert world.status("/") == 0
        world.wait(60.1)


@pytest.mark.parametrize("target", ORDINARY)
def test_ordinary_paths_pass(world: World, target: str) -> None:
    """What an app may serve, deep paths with such names too, is let through."""
    assert world.status(target) == 0


@pytest.mark.parametrize("agent", TOOLS)
def test_tool_gets_404_and_a_ban(world: World, agent: str) -> None:
    """A tool that names itself is known by that, whatever it asks for; six things ban it."""
    field = f"User-Agent: {agent}"
    assert [world.status("/?id=1", field) for _ in range(20)] == [404] * 20
    assert world.status("/") == 0
    assert [world.status(f"/?id={number}", field) for number in range(2, 7)] == [404] * 5
    assert world.status("/") == 403


@pytest.mark.parametrize("agent", GOOD_AGENTS)
def test_programs_and_bots_pass(world: World, agent: str) -> None:
    """Programs, callbacks and search engines are no scanners."""
    for _ in range(2):
        assert world.status("/", f"User-Agent: {agent}") == 0


@pytest.mark.parametrize("agent", [*GOOD_AGENTS[6:8], *PREVIEWS])
def test_links_that_others_paste(world: World, agent: str) -> None:
    """T63: servers that fetch what people write are not banned for what these have written."""
    assert world.scan(10, f"User-Agent: {agent}") == [404] * 10
    assert world.status("/", f"User-Agent: {agent}") == 0


@pytest.mark.parametrize("mode", ["Mode: no-cors", "Site: cross-site", "Dest: image", "User: ?1"])
def test_images_on_a_page(world: World, mode: str) -> None:
    """T63: a page that makes its readers ask for scanners' files gets them 404s, and no ban."""
    assert world.scan(10, f"Sec-Fetch-{mode}") == [404] * 10
    assert world.status("/") == 0


@pytest.mark.parametrize("method", ["PROPFIND", "OPTIONS", "PUT", "DELETE", "LOCK", "REPORT"])
def test_methods_of_file_managers(world: World, method: str) -> None:
    """T63: WebDAV clients look for all sorts of files; they are not banned."""
    assert world.scan(10, method=method) == [404] * 10
    assert world.status("/.DS_Store", method=method) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_methods_of_scanners(world: World, method: str) -> None:
    """These are what scanners use."""
    assert world.scan(6, method=method) == [404] * 6
    assert world.status("/") == 403


def test_neighbours_of_a_scanner(world: World) -> None:
    """T63: behind the NAT of a banned scanner browsers are served; only programs are not."""
    world.scan()
    assert world.status("/") == 403
    assert world.status("/", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate") == 0
    assert world.status("/.env", "Sec-Fetch-Site: none") == 404


TOKENS = [
    TokenRecord(
        id=f"tok_{name}",
        name=name,
        secret_sha256="",
        hostnames=(f"{name}.test", f"*.{name}.test"),
        created_at=1,
    )
    for name in ("shop", "blog")
]


def test_ban_holds_for_one_owner(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """T63: a ban is from all hostnames of one token, and from no other tenant's."""
    world.guards.apply(Snapshot.of(1, TOKENS))
    with caplog.at_level(logging.WARNING):
        world.scan(3, host="shop.test")
        world.scan(6, host="x.shop.test", name="*.shop.test")
    assert world.status("/", host="shop.test") == 403
    assert world.status("/", host="y.shop.test", name="*.shop.test") == 403
    assert world.status("/", host="blog.test") == 0
    assert world.status("/", host="10.0.0.1", name="") == 0
    assert "203.0.113.7 is banned from the hostnames of the token shop for 600 s" in caplog.text
    assert "6 different probes in 60 s, the last one /cms/.env" in caplog.text


def test_probes_of_two_owners_are_not_added_up(world: World) -> None:
    """What somebody asks one tenant for is not held against it at another one."""
    for name in ("shop", "blog"):
        assert world.scan(5, host=f"{name}.test") == [404] * 5
    assert world.status("/", host="shop.test") == 0


def test_probes_of_an_unknown_name(world: World) -> None:
    """Names that no token has are one owner of their own."""
    assert world.scan(6, host="10.0.0.1", name="") == [404] * 6
    assert world.status("/", host="10.0.0.2", name="") == 403
    assert world.status("/") == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.1.1", "172.17.0.1", "fd00::1", "unix"])
def test_addresses_that_many_share(world: World, address: str) -> None:
    """A proxy is not shut out for one visitor's probes, trusted or not."""
    assert world.scan(10, address=address) == [404] * 10
    assert world.status("/", address=address) == 0


def test_ban_of_an_ipv6_network(world: World) -> None:
    """Another address of the same /64 is the same visitor."""
    for number in range(6):
        assert world.status(f"{FOLDERS[number]}/.env", address=f"2001:db8::{number}") == 404
    assert world.status("/", address="2001:db8::ffff") == 403
    assert world.status("/", address="2001:db8:0:1::1") == 0


def test_hostname_switches_it_off() -> None:
    """An app with a real ``/wp-login.php`` gets it, and its visitors; other names stay guarded."""
    world = make_world({"blog.a.test": {"scanner": False}})
    world.guards.apply(Snapshot.of(1, []))
    assert world.scan(10, host="blog.a.test", name="shop.a.test") == [0] * 10
    assert world.status("/", name="shop.a.test") == 0
    assert world.scan() == [404] * 6
    assert world.status("/", host="blog.a.test", name="shop.a.test") == 0
    assert world.status("/") == 403


def test_hostname_switches_it_on() -> None:
    """Off for the edge, it can be on for one name; a ban of 0 seconds is a 404 only."""
    world = make_world({"shop.a.test": {"scanner": True}}, scanner=False, scanner_ban=0)
    assert world.status("/.env", host="blog.a.test") == 0
    assert world.scan(10) == [404] * 10
    assert world.status("/") == 0
    assert world.guards.scanner.unsaved() == []


def test_bans_follow_the_store(world: World) -> None:
    """T63: a ban is kept for the store, holds for its time, and ends when it is taken back."""
    guard, host = world.guards.scanner, "shop.test"
    world.guards.apply(Snapshot.of(1, TOKENS))
    world.scan(host=host)
    (ban,) = guard.unsaved()
    assert (ban.address, ban.owner) == ("203.0.113.7", "tok_shop")
    assert ban.reason == "6 different probes in 60 s, the last one /cms/.env"
    assert ban.expires_at - ban.created_at in (600, 601)
    assert guard.unsaved() == [ban]  # the store did not take it
    world.guards.apply(Snapshot.of(2, TOKENS))
    assert world.status("/", host=host) == 403
    guard.saved()
    assert guard.unsaved() == []
    world.guards.apply(Snapshot.of(3, TOKENS, scanner_bans=[ban]))
    assert world.status("/", host=host) == 403
    world.guards.apply(Snapshot.of(4, TOKENS))
    assert world.status("/", host=host) == 0


def test_bans_outlive_the_edge() -> None:
    """An edge that starts has the bans of the store, but not for who is exempt by now."""
    ban = ScannerBan(
        address="203.0.113.7",
        owner="tok_shop",
        created_at=int(time.time()),
        expires_at=int(time.time()) + 100,
        reason="",
    )
    snapshot = Snapshot.of(1, TOKENS, scanner_bans=[ban])
    world, other = make_world(), make_world(exempt=["203.0.113.0/24"])
    for one in (world, other):
        one.guards.apply(snapshot)
    assert world.status("/", host="shop.test") == 403
    assert other.status("/", host="shop.test") == 0
    world.wait(101)
    assert world.status("/", host="shop.test") == 0


@pytest.mark.plain  # other bounds
def test_bans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one banned goes first, and who sent the fewest probes."""
    monkeypatch.setattr(scanner, "MAX_SCANNER_BANS", 10)
    monkeypatch.setattr(scanner, "MAX_SENDERS", 5)
    world = make_world()
    for number in range(15):
        assert world.scan(address=f"192.0.2.{number}") == [404] * 6
        assert len(world.guards.scanner) <= 10
    assert world.status("/", address="192.0.2.4") == 0
    assert world.status("/", address="192.0.2.5") == 403
    for number in range(20):
        world.scan(5, address=f"198.51.100.{number}")
    assert len(world.guards.scanner._senders) == 5
    world.status("/wp-login.php", address="198.51.100.19")
    assert world.status("/", address="198.51.100.19") == 403
    assert len(world.guards.scanner.unsaved()) == 10


@pytest.mark.plain  # another bound
def test_other_addresses_do_not_free_who_has_sent_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """T71: five probes, a thousand addresses with one each, and then the sixth."""
    monkeypatch.setattr(scanner, "MAX_SENDERS", 100)
    world = make_world()
    world.scan(5, address="203.0.113.66")
    for number in range(1000):
        world.scan(1, address=f"198.51.{number // 250}.{number % 250}")
    world.status("/wp-login.php", address="203.0.113.66")
    assert world.status("/", address="203.0.113.66") == 403


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
