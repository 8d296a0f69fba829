"""Tries to get past a door: each is bytes on a socket, and none reaches the app as admitted.

What is public may be reached, by anybody and as nobody. Then the attacks of ``cases`` again, each
with a session that the door admits: they meet the same answers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from edge.tests.live import PLAIN, SHOP, Live, live_edge
from edge.tests.quick_password import quick_hash

from asgi_tunnel_edge.access.session import Claims, SessionSigner
from asgi_tunnel_edge.accounts import (
    LinkRecord,
    ServiceTokenRecord,
    SessionRecord,
    UserRecord,
)
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

from .cases import CASES, Case
from .wire import Wire, handshake, request, split_answers

pytestmark = pytest.mark.plain  # the app runs in this process, beside the edge

NAME: Final = b"__Host-asgi-tunnel="
CLOSE: Final = b"Connection: close"
JSON_OF_ANNA: Final = b'{"subject":"user:anna","name":"anna","groups":["admin"]}'
SETTINGS: Final[dict[str, Any]] = {
    "access": {
        "family": {"users": ["anna", "gone"], "methods": ["password", "basic", "token", "link"]},
        "operators": {"groups": ["admin"], "methods": ["password", "link", "token"]},
    },
    "hostnames": {
        SHOP: {
            "access": "family",
            "access_paths": {"/open": "public", "POST /hooks": "public", "/admin": "operators"},
        },
        PLAIN: {"access": "family"},
    },
    "limits": {"max_connections_per_address": 4000},
}


@dataclass
class World:
    """An edge with doors, what the app behind it has run, and what a thief may have."""

    live: Live
    ran: list[tuple[str, str, list[tuple[bytes, bytes]]]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where the edge listens."""
        return self.live.edge.address.port

    @property
    def signer(self) -> SessionSigner:
        """The edge's own: what it signs, it believes."""
        entrance = self.live.edge._entrance
        assert entrance is not None
        return entrance.doors.signer

    def claims(self, **changes: Any) -> Claims:
        """The session of anna at the first hostname, but for some changes."""
        now = int(time.time())
        values: dict[str, Any] = {
            "id": "s-anna",
            "hostname": SHOP,
            "method": "password",
            "since": now,
            "expires": now + 3600,
            "epoch": 0,
            "user": "anna",
            "user_epoch": 7,
        }
        return Claims(**{**values, **changes})

    def value(self, **changes: Any) -> bytes:
        """Its cookie's value."""
        return self.signer.sign(self.claims(**changes))

    def cookie(self, **changes: Any) -> bytes:
        """The field with it."""
        return b"Cookie: " + NAME + self.value(**changes)


Make = Callable[[World], bytes]


@dataclass(frozen=True)
class Try:
    """One try.

    Attributes:
        name: What it tries.
        data: All that is sent.
        admitted: Paths that an honest part of it may reach.
    """

    name: str
    data: Make
    admitted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def get(target: bytes, *fields: bytes, method: bytes = b"GET", host: bytes = SHOP.encode()) -> Make:
    """A request that depends on nothing."""
    return lambda _: request(method, target, *fields, CLOSE, host=host)


def with_cookie(target: bytes = b"/secret", host: bytes = SHOP.encode(), **changes: Any) -> Make:
    """A request with a session that is not quite the one it should be."""
    return lambda world: request(b"GET", target, world.cookie(**changes), CLOSE, host=host)


def altered(alter: Callable[[bytes], bytes]) -> Make:
    """A request with a right session whose cookie's field is changed."""
    return lambda world: request(b"GET", b"/secret", b"Cookie: " + alter(world.value()), CLOSE)


def basic(text: bytes) -> bytes:
    """A field of Basic authentication."""
    return b"Authorization: Basic " + b64encode(text)


def token(token_id: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """The fields of a service token."""
    return b"asgi-tunnel-token-id: " + token_id, b"asgi-tunnel-token-secret: " + secret


def paths() -> Iterator[Try]:
    """Spellings of a path that an edge and an app may read differently."""
    for target in (
        b"/",
        b"/secret",
        b"/open/../secret",
        b"/open/..%2fsecret",
        b"/open%2f..%2fsecret",
        b"/open/%2e%2e/secret",
        b"/open/.%2E/secret",
        b"/open/%252e%252e/secret",
        b"/open/%25252e%25252e/secret",
        b"/open//../secret",
        b"//open/secret",
        b"//shop.example.test/open/secret",
        b"/./open/../secret",
        b"/open/./../secret",
        b"/open/..;/secret",
        b"/open;/../secret",
        b"/open;x=/secret",
        b"/open\\..\\secret",
        b"/open%5c..%5csecret",
        b"/open%00/secret",
        b"/open%00",
        b"/open%0d%0a/secret",
        b"/open/%c0%ae%c0%ae/secret",
        b"/open/%e0%80%ae%e0%80%ae/secret",
        b"/open/%uff0e%uff0e/secret",
        b"/OPEN/secret",
        b"/%4fPEN/secret",
        b"/opened",
        b"/open.",
        b"/open./secret",
        b"/open%20/secret",
        b"/open%09",
        b"/%ef%bd%8fpen/secret",
        b"/open/%e2%80%a5/secret",
        b"/open/x%2f..%2f..%2fsecret",
        b"/secret?/open",
        b"/secret?x=/../open",
        b"/secret#/open",
        b"/secret%3f/open",
        b"/secret%23/open",
        b"/secret;/open",
        b"/hooks",
        b"/ADMIN",
        b"/%61dmin",
        b"/.well-known/asgi-tunnel/access/../../../secret",
        b"/.well-known/asgi-tunnel/access/%2e%2e/%2e%2e/%2e%2e/secret",
        b"/.well-known/asgi-tunnel/access",
        b"/.well-known/asgi-tunnel/access/login?to=/secret",
        b"/secret/" + b"a" * 4000,
        b"http://shop.example.test/secret",
        b"http://shop.example.test/open/../secret",
        b"http://shop.example.test",
        b"http://anna@shop.example.test/secret",
        b"HTTP://SHOP.EXAMPLE.TEST:80/secret",
        b"https://shop.example.test/secret",
        b"http://plain.example.test/secret",
        b"ftp://shop.example.test/secret",
        b"open/secret",
        b"*",
    ):
        yield Try(f"path {target.decode('latin-1')[:70]}", get(target))


def methods() -> Iterator[Try]:
    """Methods that are another one's, or no request for a page."""
    for method in (b"get", b"HEAD", b"OPTIONS", b"TRACE", b"POST", b"PUT", b"DELETE", b"FOO"):
        yield Try(f"method {method.decode()}", get(b"/secret", method=method))
    yield Try("method OPTIONS *", get(b"*", method=b"OPTIONS"))
    yield Try("method CONNECT", get(b"shop.example.test:80", method=b"CONNECT"))
    yield Try("method PRI", lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"PROPFIND"):
        yield Try(f"{method.decode()} where POST is public", get(b"/hooks", method=method))
    yield Try("POST in lower case where POST is public", get(b"/hooks", method=b"post"))
    for name in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"):
        yield Try(f"{name.decode()}: POST", get(b"/hooks", name + b": POST"))


def fields() -> Iterator[Try]:
    """Fields that some servers believe."""
    for one in (
        b"X-Original-URL: /open",
        b"X-Rewrite-URL: /open",
        b"X-Forwarded-Path: /open",
        b"X-Forwarded-Host: open.example.test",
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Proto: https",
        b"Forwarded: for=127.0.0.1;host=plain.example.test",
        b"X-Forwarded-User: anna",
        b"X-Forwarded-Email: anna@example.org",
        b"X-Remote-User: anna",
        b"Remote-User: anna",
        b"X-Authenticated-User: anna",
        b"Tailscale-User-Login: anna",
        b"Cf-Access-Jwt-Assertion: x.y.z",
        b":visitor: " + JSON_OF_ANNA,
        b"visitor: " + JSON_OF_ANNA,
        b"x-asgi-tunnel-visitor: " + JSON_OF_ANNA,
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        b"Referer: http://shop.example.test/open",
        b"Sec-Fetch-Site: same-origin",
        b"Sec-Fetch-Mode: navigate",
        b"Origin: http://shop.example.test",
    ):
        yield Try(one.decode("latin-1")[:60], get(b"/secret", one))
    yield Try("X-Original-URL at a public path", get(b"/open", b"X-Original-URL: /secret"))
    yield Try(
        "Expect: 100-continue",
        lambda _: request(
            b"POST",
            b"/secret",
            b"Expect: 100-continue",
            b"Content-Length: 5",
            CLOSE,
            body=b"hello",
        ),
    )


def hosts() -> Iterator[Try]:
    """A session of one hostname at another."""
    shop, plain = SHOP.encode(), PLAIN.encode()
    yield Try("a session of another hostname", with_cookie(hostname=PLAIN))
    yield Try("a session at another hostname", with_cookie(host=plain))
    for host in (
        b"SHOP.EXAMPLE.TEST",
        shop + b".",
        shop + b":80",
        shop + b":",
        b"ShOp.example.test.:1",
    ):
        name = f"Host {host.decode()} and a session of another hostname"
        yield Try(name, with_cookie(hostname=PLAIN, host=host))
    yield Try(
        "Host twice, the session's first",
        lambda world: request(
            b"GET", b"/secret", b"Host: " + shop, world.cookie(hostname=PLAIN), CLOSE, host=plain
        ),
    )
    yield Try(
        "Host twice, the session's last",
        lambda world: request(
            b"GET", b"/secret", b"Host: " + plain, world.cookie(hostname=PLAIN), CLOSE
        ),
    )
    for target, host in (
        (b"http://" + shop + b"/secret", plain),
        (b"http://" + plain + b"/secret", shop),
    ):
        yield Try(
            f"a target at {target.decode()} and Host {host.decode()}",
            with_cookie(target=target, hostname=PLAIN if host == plain else SHOP, host=host),
        )
    for host in (
        b"",
        shop + b"," + plain,
        shop + b" " + plain,
        b"[::1]",
        b"127.0.0.1",
        shop + b"@" + plain,
    ):
        yield Try(f"Host {host.decode()!r}", with_cookie(host=host))
    yield Try("HTTP/1.0 without Host", lambda _: b"GET /secret HTTP/1.0\r\n\r\n")
    yield Try(
        "HTTP/1.0 with Host", lambda _: b"GET /secret HTTP/1.0\r\nHost: " + shop + b"\r\n\r\n"
    )
    yield Try("HTTP/0.9", lambda _: b"GET /secret\r\n\r\n")


def sessions() -> Iterator[Try]:
    """Sessions that are over, somebody's else, or nobody's."""
    old = int(time.time()) - 10
    yield Try("an expired session", with_cookie(since=old - 10, expires=old))
    yield Try("a session that was signed out", with_cookie(id="s-ended"))
    yield Try("a session before a sign-out everywhere", with_cookie(user_epoch=6))
    yield Try("a session before everybody was signed out", with_cookie(epoch=-1))
    yield Try("a session of a disabled user", with_cookie(user="gone", user_epoch=9))
    yield Try("a session of a user who was removed", with_cookie(user="old", user_epoch=1))
    yield Try("a session of a user whom no policy names", with_cookie(user="ben", user_epoch=7))
    yield Try("a session by a way that the policy does not take", with_cookie(method="passkey"))
    yield Try("a user's session at another policy's path", with_cookie(target=b"/admin"))
    yield Try("the same in capitals", with_cookie(target=b"/ADMIN/x"))
    yield Try("the same by dot segments", with_cookie(target=b"/x/../admin"))
    yield Try("the same by an encoded slash", with_cookie(target=b"/x%2f..%2fadmin"))
    yield Try("a session of nobody", with_cookie(user=None))
    yield Try(
        "a session of a provider whom nobody has named",
        with_cookie(user=None, provider="evil", email="anna@example.org", groups=("admin",)),
    )
    yield Try(
        "a session of a group that its own words claim",
        with_cookie(target=b"/admin", groups=("admin",)),
    )
    key = SessionSigner(b"k" * 32)
    yield Try(
        "a session that another key has signed",
        lambda world: request(
            b"GET", b"/secret", b"Cookie: " + NAME + key.sign(world.claims()), CLOSE
        ),
    )
    yield Try("a share link outside of its path", link(b"/secret"))
    yield Try("a share link beside its path", link(b"/album/70"))
    yield Try("a share link above its path", link(b"/album"))
    yield Try("a share link and dot segments", link(b"/album/7/../8"))
    yield Try("a share link and an encoded slash", link(b"/album/7%2f..%2f8"))
    yield Try("a share link and an encoded dot", link(b"/album/7/%2e%2e/8"))
    yield Try("a share link in capitals", link(b"/ALBUM/7"))
    yield Try("a share link at another policy's path", link(b"/admin"))
    yield Try("a share link of everything at another policy's path", link(b"/admin", "all"))
    yield Try("a share link that was revoked", link(b"/album/7", "revoked"))
    yield Try("a share link that has expired", link(b"/album/7", "expired"))
    yield Try("a share link of another hostname", link(b"/album/7", "elsewhere"))


def link(target: bytes, name: str = "album") -> Make:
    """A request with the session of who has opened a share link."""
    return with_cookie(target=target, user=None, link=f"lnk_{name}", method="link")


def cookies() -> Iterator[Try]:
    """A right session in a field that is not quite right."""
    for name, alter in (
        ("without the prefix", lambda one: b"asgi-tunnel=" + one),
        ("with another prefix", lambda one: b"__Secure-asgi-tunnel=" + one),
        ("in lower case", lambda one: b"__host-asgi-tunnel=" + one),
        ("with a longer name", lambda one: b"__Host-asgi-tunnel-x=" + one),
        ("in quotes", lambda one: NAME + b'"' + one + b'"'),
        ("escaped", lambda one: NAME + one.replace(b".", b"%2e")),
        ("with a space in front", lambda one: NAME + b" " + one),
        ("with something behind", lambda one: NAME + one + b"="),
        ("twice, and different", lambda one: NAME + one + b"; " + NAME + b"x"),
        ("after an empty one", lambda one: NAME + b"; " + NAME + one),
        ("with commas", lambda one: b"a=b, " + NAME + one),
        ("without its signature", lambda one: NAME + one.rpartition(b".")[0]),
        ("with an empty signature", lambda one: NAME + one.rpartition(b".")[0] + b"."),
        ("with a shorter signature", lambda one: NAME + one[:-1]),
        ("with another signature", lambda one: NAME + one[:-10] + b"AAAAAAAAAA"),
        ("of another version", lambda one: NAME + b"2." + one[2:]),
        ("without its version", lambda one: NAME + one[2:]),
        (
            "with another content",
            lambda one: NAME + one[:12] + one[12:16].swapcase()[::-1] + one[16:],
        ),
        ("that only says who it is", lambda _: NAME + b"anna"),
        ("with a plain content", lambda _: NAME + b"1." + urlsafe_b64encode(JSON_OF_ANNA)),
        ("that is too long", lambda one: NAME + one + b"A" * 4000),
        ("that is empty", lambda _: NAME),
        ("that has no value", lambda _: NAME[:-1]),
        ("with 8 bits", lambda one: NAME + one + b"\xff"),
    ):
        yield Try(f"a session's cookie {name}", altered(alter))
    yield Try(
        "two fields with different cookies",
        lambda world: request(
            b"GET", b"/secret", world.cookie(), b"Cookie: " + NAME + b"planted", CLOSE
        ),
    )
    yield Try(
        "a session in the query",
        lambda world: request(b"GET", b"/secret?" + NAME + world.value(), CLOSE),
    )
    yield Try(
        "a session as a bearer",
        lambda world: request(b"GET", b"/secret", b"Authorization: Bearer " + world.value(), CLOSE),
    )
    yield Try(
        "a session in Cookie2",
        lambda world: request(b"GET", b"/secret", b"Cookie2: " + NAME + world.value(), CLOSE),
    )


def tokens() -> Iterator[Try]:
    """Service tokens and passwords that are wrong, over, or for something else."""
    for name, target, pair in (
        ("a wrong secret", b"/secret", token(b"svc_phone", b"wrong")),
        ("an empty secret", b"/secret", token(b"svc_phone", b"")),
        (
            "the hash in place of the secret",
            b"/secret",
            token(b"svc_phone", secret_digest("s").encode()),
        ),
        ("an unknown id", b"/secret", token(b"svc_none", b"s3cret")),
        ("an id in capitals", b"/secret", token(b"SVC_PHONE", b"s3cret")),
        ("a revoked token", b"/secret", token(b"svc_revoked", b"s3cret")),
        ("an expired token", b"/secret", token(b"svc_expired", b"s3cret")),
        ("a token of another policy", b"/secret", token(b"svc_admin", b"s3cret")),
        ("a token at another policy's path", b"/admin", token(b"svc_phone", b"s3cret")),
        ("an id alone", b"/secret", (token(b"svc_phone", b"")[0],)),
        ("a secret alone", b"/secret", (token(b"", b"s3cret")[1],)),
        ("two ids", b"/secret", (*token(b"svc_none", b"s3cret"), token(b"svc_phone", b"")[0])),
        ("two secrets", b"/secret", (*token(b"svc_phone", b"x"), token(b"", b"s3cret")[1])),
        ("the id twice", b"/secret", (token(b"svc_phone", b"")[0],) * 2),
        (
            "a token in the query",
            b"/secret?asgi-tunnel-token-id=svc_phone&asgi-tunnel-token-secret=s3cret",
            (),
        ),
        (
            "underscores in the names",
            b"/secret",
            (b"asgi_tunnel_token_id: svc_phone", b"asgi_tunnel_token_secret: s3cret"),
        ),
        ("a token as a bearer", b"/secret", (b"Authorization: Bearer svc_phone:s3cret",)),
        ("a token's wrong secret as a password", b"/secret", (basic(b"svc_phone:wrong"),)),
        ("a token without a colon", b"/secret", (basic(b"svc_phones3cret"),)),
        ("two Authorization fields", b"/secret", (basic(b"svc_phone:s3cret"), basic(b"x:y"))),
        ("Basic that is no base64", b"/secret", (b"Authorization: Basic svc_phone:s3cret",)),
        (
            "Basic with a longer name",
            b"/secret",
            (b"Authorization: Basically " + b64encode(b"svc_phone:s3cret"),),
        ),
        ("a wrong password", b"/secret", (basic(b"anna:wrong but long"),)),
        ("an empty password", b"/secret", (basic(b"anna:"),)),
        ("a password of a disabled user", b"/secret", (basic(b"gone:correct horse battery"),)),
        ("a password where none is taken", b"/admin", (basic(b"ben:correct horse battery"),)),
        ("another user's name", b"/secret", (basic(b"ben:correct horse battery"),)),
        (
            "a password in Proxy-Authorization",
            b"/secret",
            (b"Proxy-" + basic(b"svc_phone:s3cret"),),
        ),
    ):
        yield Try(f"service: {name}", get(target, *pair))


def websockets() -> Iterator[Try]:
    """Handshakes from pages of somebody else, and without a session."""
    yield Try("WebSocket of nobody", lambda _: handshake(b"/secret"))
    yield Try(
        "WebSocket of nobody with a right Origin",
        lambda _: handshake(b"/secret", b"Origin: http://shop.example.test"),
    )
    for name, *origins in (
        ("without Origin",),
        ("of another site", b"http://evil.test"),
        ("of a neighbour", b"http://plain.example.test"),
        ("of a name below", b"http://x.shop.example.test"),
        ("of a longer name", b"http://shop.example.test.evil.test"),
        ("of another port", b"http://shop.example.test:81"),
        ("of null", b"null"),
        ("of an empty origin", b""),
        ("of a file", b"file://shop.example.test"),
        ("of two origins", b"http://shop.example.test", b"http://evil.test"),
        ("of a path", b"http://shop.example.test/"),
    ):
        lines = [b"Origin: " + one for one in origins]
        yield Try(
            f"WebSocket with a session {name}",
            lambda world, lines=lines: handshake(b"/secret", world.cookie(), *lines),  # type: ignore[misc]
        )
    yield Try(
        "WebSocket with a session of another hostname",
        lambda world: handshake(
            b"/secret", world.cookie(hostname=PLAIN), b"Origin: http://shop.example.test"
        ),
    )
    yield Try(
        "WebSocket without a version and without a session",
        lambda _: handshake(b"/secret").replace(b"Sec-WebSocket-Version: 13\r\n", b""),
    )


def connections() -> Iterator[Try]:
    """A request behind another one, which was let in."""
    secret = request(b"GET", b"/secret", CLOSE)
    yield Try("behind a public request", lambda _: request(b"GET", b"/open") + secret)
    yield Try(
        "behind a public body",
        lambda _: request(b"POST", b"/hooks", b"Content-Length: 2", body=b"hi") + secret,
    )
    yield Try(
        "in a public body",
        lambda _: request(b"POST", b"/hooks", b"Content-Length: %d" % len(secret), body=secret),
    )
    yield Try(
        "behind a public body with two lengths",
        lambda _: request(
            b"POST",
            b"/hooks",
            b"Transfer-Encoding: chunked",
            b"Content-Length: 4",
            body=b"0\r\n\r\n" + secret,
        ),
    )
    yield Try(
        "behind a public chunked body",
        lambda _: request(
            b"POST", b"/hooks", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + secret
        ),
    )
    yield Try(
        "behind a request with a session",
        lambda world: request(b"GET", b"/mine", world.cookie()) + secret,
        admitted=("/mine",),
    )
    yield Try(
        "behind a request with a service token",
        lambda _: request(b"GET", b"/mine", *token(b"svc_phone", b"s3cret")) + secret,
        admitted=("/mine",),
    )
    yield Try(
        "behind a password that is being checked",
        lambda _: request(b"GET", b"/mine", basic(b"anna:correct horse battery")) + secret,
        admitted=("/mine",),
    )
    yield Try(
        "at another hostname behind a request with a session",
        lambda world: (
            request(b"GET", b"/mine", world.cookie())
            + request(b"GET", b"/secret", world.cookie(), CLOSE, host=PLAIN.encode())
        ),
        admitted=("/mine",),
    )
    yield Try("behind a login's page", lambda _: request(b"GET", LOGIN) + secret)
    yield Try(
        "a login with a wrong password, and then in",
        lambda _: (
            request(
                b"POST",
                PASSWORD_PAGE,
                b"Origin: http://shop.example.test",
                b"Content-Type: application/x-www-form-urlencoded",
                b"Content-Length: 35",
                body=b"user=anna&password=wrong but long&a",
            )
            + secret
        ),
    )


LOGIN: Final = b"/.well-known/asgi-tunnel/access/login"
PASSWORD_PAGE: Final = b"/.well-known/asgi-tunnel/access/password"
TRIES: Final = [
    *paths(),
    *methods(),
    *fields(),
    *hosts(),
    *sessions(),
    *cookies(),
    *tokens(),
    *websockets(),
    *connections(),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge in a thread of its own: the tries are made by plain sockets."""
    folder = tmp_path_factory.mktemp("doors")
    started, found, ended = threading.Event(), [], asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        ran: list[tuple[str, str, list[tuple[bytes, bytes]]]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                return
            ran.append((scope.get("method", "WS"), scope["path"], list(scope["headers"])))
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close"})
                return
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ran"})

        loops.append(asyncio.get_running_loop())
        async with live_edge(folder, app, **SETTINGS) as live:
            _fill(live)
            generation = Store(live.edge.config.database_path).generation()
            while live.edge.directory.snapshot.generation < generation:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            found.append(World(live, ran))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(30)
    yield found[0]
    loops[0].call_soon_threadsafe(ended.set)
    thread.join(30)


def _fill(live: Live) -> None:
    """Users, service tokens and links."""
    path = live.edge.config.database_path
    Store(path).create_token(
        TokenRecord(
            id=live.token.id,
            name="shop",
            secret_sha256=secret_digest(live.token.secret),
            hostnames=(SHOP, PLAIN),
            created_at=0,
        )
    )
    store, hashed = AccessStore(path), quick_hash("correct horse battery")
    for name, groups in (("anna", ()), ("ben", ("admin",)), ("gone", ())):
        user = UserRecord(name=name, groups=groups, created_at=7)
        store.create_user(user, password=hashed)
    store.change_user("gone", disabled=True)
    digest = secret_digest("s3cret")
    for name, policy, expires in (
        ("phone", "family", None),
        ("admin", "operators", None),
        ("expired", "family", 1),
        ("revoked", "family", None),
    ):
        store.create_service_token(
            ServiceTokenRecord(
                id=f"svc_{name}",
                name=name,
                secret_sha256=digest,
                policies=(policy,),
                expires_at=expires,
            )
        )
    store.revoke_service_token("revoked")
    for name, hostname, where, expires in (
        ("expired", SHOP, "/album/7", 1),
        ("album", SHOP, "/album/7", None),
        ("all", SHOP, "/", None),
        ("revoked", SHOP, "/album/7", None),
        ("elsewhere", PLAIN, "/album/7", None),
    ):
        store.create_link(
            LinkRecord(
                id=f"lnk_{name}",
                secret_sha256=secret_digest(name),
                hostname=hostname,
                path=where,
                expires_at=expires,
            )
        )
    store.revoke_link("lnk_revoked")
    store.add_session(
        SessionRecord(
            id="s-ended",
            subject="user:anna",
            name="anna",
            hostname=SHOP,
            method="password",
            created_at=1,
            expires_at=4_000_000_000,
        )
    )
    store.end_sessions(["s-ended"])


@pytest.fixture
def world(shared: World) -> World:
    """The same; the app has run nothing yet."""
    shared.ran.clear()
    return shared


def send(world: World, data: bytes) -> bytes:
    """Send it, say that nothing follows, and return all that comes back."""
    with Wire(world.port) as wire:
        wire.send(data)
        wire.end()
        return wire.rest()


def is_public(method: str, path: str) -> bool:
    """Whether anybody may reach it: as the app reads it."""
    plain = ".." not in path and (path == "/open" or path.startswith("/open/"))
    return plain or (method == "POST" and path == "/hooks")


def test_no_try_is_made_twice() -> None:
    """At least 60, each with a name of its own; with a WebSocket, a token and a link among them."""
    assert len(TRIES) >= 60
    assert len({one.name for one in TRIES}) == len(TRIES)


@pytest.mark.parametrize("one", TRIES, ids=str)
def test_nobody_gets_past_a_door(world: World, one: Try) -> None:
    """The app runs what is public, and nothing else; none of the edge's own fields reaches it."""
    answer = send(world, one.data(world))
    for method, path, found in world.ran:
        assert path in one.admitted or is_public(method, path), (method, path, answer[:200])
        assert not [value for name, value in found if b"asgi-tunnel" in name + value]
    if not world.ran:
        assert b"\r\n\r\nran" not in answer


def test_who_may_pass_does(world: World) -> None:
    """The tries fail for their own reasons: the same things done right are let in."""
    right: list[bytes] = [
        request(b"GET", b"/secret", world.cookie(), CLOSE),
        request(b"GET", b"/secret", *token(b"svc_phone", b"s3cret"), CLOSE),
        request(b"GET", b"/secret", basic(b"svc_phone:s3cret"), CLOSE),
        request(b"GET", b"/secret", basic(b"anna:correct horse battery"), CLOSE),
        request(b"GET", b"/admin", *token(b"svc_admin", b"s3cret"), CLOSE),
        request(b"GET", b"/album/7/1.jpg", link(b"/")(world).split(b"\r\n")[2], CLOSE),
        request(b"GET", b"/admin", world.cookie(user="ben"), CLOSE),
        request(b"GET", b"/secret", world.cookie(hostname=PLAIN), CLOSE, host=PLAIN.encode()),
        handshake(b"/secret", world.cookie(), b"Origin: http://shop.example.test"),
        handshake(b"/secret", *token(b"svc_phone", b"s3cret")),
        request(b"GET", b"/open/x", CLOSE),
        request(b"POST", b"/hooks", CLOSE),
    ]
    for number, data in enumerate(right, 1):
        answer = send(world, data)
        assert len(world.ran) == number, (data, answer)
    for _, _, found in world.ran:
        assert not [value for name, value in found if b"asgi-tunnel" in name + value]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_with_a_door_the_answers_are_the_same(world: World, case: Case) -> None:
    """A visitor whom the door admits, and who then breaks a rule: nothing hidden is run."""
    field = b"Host: shop.example.test\r\n"
    data = case.data.replace(field, field + world.cookie() + b"\r\n", 1)
    with Wire(world.port) as wire:
        wire.send(data)
        answers = split_answers(wire.rest())
    assert [answer.status in case.statuses for answer in answers] == [True], answers
    assert b"smuggled" not in answers[0].body
    assert "/smuggled" not in [path for _, path, _ in world.ran]
