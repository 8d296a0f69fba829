"""The rules of OAuth without an edge: redirects, registrations, requests, PKCE, tokens."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.login.oauth import AT_ONCE, MAX_WAITING, OAuthPages
from asgi_tunnel_edge.oauth.authorization import (
    AuthorizationError,
    is_verified,
    read_authorization,
    read_path,
    resource_target,
)
from asgi_tunnel_edge.oauth.client import (
    Client,
    ClientSigner,
    RegistrationError,
    read_registration,
)
from asgi_tunnel_edge.oauth.redirect import is_redirect, matches, origin_of, with_parameters

SHOP = "shop.example.test"
ORIGIN = f"https://{SHOP}"
CLIENTS = ClientSigner(b"k" * 32)
REDIRECT = "http://127.0.0.1/callback"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("uri", "is_good"),
    [
        ("https://assistant.example/callback?a=1", True),
        ("https://assistant.example:8443", True),
        ("http://127.0.0.1:3000/cb", True),
        ("http://[::1]/cb", True),
        ("http://localhost/cb", True),
        ("http://assistant.example/cb", False),
        ("http://127.0.0.1.evil.example/cb", False),
        ("http://localhost@evil.example/", False),
        ("https://user@evil.example/", False),
        ("https://good.example/#x", False),
        ("https://good.example;script-src *", False),
        ("https://good.example/\r\nx: y", False),
        ("javascript:alert(1)", False),
        ("app://callback", False),
        ("//evil.example", False),
        ("https://good.example/" + "x" * 400, False),
    ],
)
def test_where_a_code_may_go(uri: str, is_good: bool) -> None:
    """https, or plain http to the visitor's own machine; nothing that a browser reads otherwise."""
    assert is_redirect(uri) is is_good


def test_a_redirect_is_the_registered_one() -> None:
    """Character by character, but for the port of a program on the visitor's machine."""
    assert matches(REDIRECT, "http://127.0.0.1:40123/callback")
    assert not matches(REDIRECT, "http://127.0.0.1:40123/callback/")
    assert not matches(REDIRECT, "http://localhost:40123/callback")
    assert not matches("https://a.example/cb", "https://a.example:444/cb")
    assert not matches("https://a.example/cb", "https://a.example/cb?x=1")
    assert not matches("https://a.example/cb", "https://A.example/cb")
    assert origin_of("https://a.example:444/cb/x") == "https://a.example:444"
    assert with_parameters("https://a.example/cb?x=1", {"code": "a b"}).endswith("?x=1&code=a+b")


def test_a_client_is_its_id() -> None:
    """What was registered is in it, signed; another edge's, and a changed one, are none."""
    client = read_registration({"client_name": "A\nB", "redirect_uris": [REDIRECT]}, SHOP)
    assert client == Client(SHOP, "AB", (REDIRECT,))
    client_id = CLIENTS.sign(client)
    assert CLIENTS.read(client_id) == client
    assert ClientSigner(b"x" * 32).read(client_id) is None
    for wrong in (
        "",
        "c1.",
        client_id[:-1],
        client_id + "x",
        client_id.replace("c1.", "c1.A"),
        "é",
    ):
        assert CLIENTS.read(wrong) is None
    long = Client(SHOP, "x", tuple(f"https://{n}.example/{'x' * 300}" for n in range(4)))
    with pytest.raises(RegistrationError, match="too long"):
        CLIENTS.sign(long)


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        {"redirect_uris": []},
        {"redirect_uris": "https://a.example"},
        {"redirect_uris": [1]},
        {"redirect_uris": ["http://a.example/"]},
        {"redirect_uris": [REDIRECT] * 5},
    ],
)
def test_what_is_no_registration(given: object) -> None:
    """It is refused with a code of RFC 7591."""
    with pytest.raises(RegistrationError) as caught:
        read_registration(given, SHOP)
    assert caught.value.code in {"invalid_client_metadata", "invalid_redirect_uri"}


def request(**changes: str) -> dict[str, str]:
    """A good authorization request, with changes."""
    client_id = CLIENTS.sign(Client(SHOP, "assistant", (REDIRECT,)))
    given = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": "http://127.0.0.1:5000/callback",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s1",
        "resource": f"{ORIGIN}/mcp",
    }
    return {name: value for name, value in {**given, **changes}.items() if value}


def test_a_good_request() -> None:
    """All of it is known, and belongs together."""
    wanted = read_authorization(request(), clients=CLIENTS, hostname=SHOP, origin=ORIGIN)
    assert (wanted.client.name, wanted.path, wanted.state) == ("assistant", "/mcp", "s1")


@pytest.mark.parametrize(
    ("changes", "code", "is_told"),
    [
        ({"client_id": "c1.x.y"}, "invalid_client", False),
        ({"client_id": CLIENTS.sign(Client("other.example.test", "", (REDIRECT,)))}, "", False),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request", False),
        ({"redirect_uri": ""}, "invalid_request", False),
        ({"response_type": "token"}, "unsupported_response_type", True),
        ({"code_challenge": ""}, "invalid_request", True),
        ({"code_challenge_method": "plain"}, "invalid_request", True),
        ({"code_challenge_method": ""}, "invalid_request", True),
        ({"state": "x" * 600}, "invalid_request", True),
        ({"resource": ""}, "invalid_target", True),
        ({"resource": "https://other.example.test/mcp"}, "invalid_target", True),
        ({"resource": f"{ORIGIN}.evil.example/mcp"}, "invalid_target", True),
        ({"resource": f"{ORIGIN}/a/../mcp"}, "invalid_target", True),
        ({"resource": f"{ORIGIN}/mcp?x=1"}, "invalid_target", True),
    ],
)
def test_a_request_that_is_refused(changes: dict[str, str], code: str, is_told: bool) -> None:
    """The client hears of it where its redirect URI is known; otherwise only the visitor does."""
    with pytest.raises(AuthorizationError) as caught:
        read_authorization(request(**changes), clients=CLIENTS, hostname=SHOP, origin=ORIGIN)
    assert code in ("", caught.value.code)
    assert bool(caught.value.redirect) is is_told


def test_resources_and_targets() -> None:
    """A resource is a path of the hostname; a login for the consent page is for the resource."""
    assert read_path(ORIGIN, ORIGIN) == "/"
    assert read_path(f"{ORIGIN}/mcp", ORIGIN) == "/mcp"
    assert read_path(f"{ORIGIN}:444/mcp", ORIGIN) is None
    assert read_path("/mcp", ORIGIN) is None
    page = "/.well-known/asgi-tunnel/oauth/authorize"
    assert resource_target(f"{page}?a=1&resource=https%3A%2F%2Fx%2Fmcp") == "/mcp"
    assert resource_target(page) == "/"
    assert resource_target("/photos?resource=x") == "/photos?resource=x"


def test_pkce() -> None:
    """Only the one verifier fits, and it has the form of one."""
    assert is_verified(CHALLENGE, VERIFIER)
    assert not is_verified(CHALLENGE, "w" * 43)
    assert not is_verified(CHALLENGE, VERIFIER[:-1])
    assert not is_verified(CHALLENGE, "")
    assert not is_verified("é", VERIFIER)


@pytest.mark.anyio
async def test_a_flood_of_requests_for_tokens_waits_or_is_told() -> None:
    """A few ask the store at one time, some wait, and one more hears that it is too many."""
    unused: Any = None
    pages = OAuthPages(unused, CLIENTS, unused)
    entered = threading.Semaphore(0)
    go_on = threading.Event()

    def ask() -> None:
        entered.release()
        go_on.wait(10)

    tasks = [asyncio.ensure_future(pages._in_thread(ask)) for _ in range(MAX_WAITING)]
    for _ in range(AT_ONCE):
        await asyncio.to_thread(entered.acquire)
    with pytest.raises(StorageError, match="too many"):
        await pages._in_thread(ask)
    assert not entered.acquire(blocking=False)
    go_on.set()
    await asyncio.gather(*tasks)
