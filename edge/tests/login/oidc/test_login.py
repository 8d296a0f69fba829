"""Logging in with a provider, as a browser does; and what a provider or a stranger may try."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jws

from asgi_tunnel_edge.access.doors import ACCESS_PATH, Doors
from asgi_tunnel_edge.settings.access import AccessConfig

from .evil import CLIENT, DISCOVERY, SECRET, EvilProvider, new_key, unsigned
from .site import CALLBACK, HOST, OTHER, START, LoginSite, one_provider

pytestmark = pytest.mark.anyio

Arrange = Callable[[EvilProvider], None]


async def test_a_person_logs_in(tmp_path: Path) -> None:
    """By code, with PKCE, state and nonce; back to where they came from, once."""
    async with one_provider(tmp_path) as (provider, site):
        browser = site.browser()
        page = await browser.get(f"{ACCESS_PATH}login?to=/album%3Fn%3D1")
        assert f"{START}idp?to=%2Falbum%3Fn%3D1" in page.text
        assert "Continue with Idp" in page.text
        query = await browser.start()
        assert query["redirect_uri"] == f"https://{HOST}{CALLBACK}idp"
        assert query["code_challenge_method"] == "S256"
        assert (query["scope"], query["tenant"]) == ("openid email profile", "7")
        assert len(browser.attempts) == 1
        response = await browser.come_back(query)
        assert response.status_code == 303
        assert response.headers["location"] == "/album?n=1"
        assert response.headers["cache-control"] == "no-store"
        assert browser.attempts == []
        claims = browser.claims
        assert claims is not None
        assert (claims.provider, claims.subject) == ("idp", "1042")
        assert (claims.email, claims.name) == ("zoe@example.org", "Zoe")
        [(_, form, fields)] = [one for one in provider.asked if one[0] == "/token"]
        assert fields["authorization"].startswith("Basic ")
        assert "client_secret" not in form


@pytest.mark.parametrize(
    ("metadata", "settings", "expected"),
    [
        ({"token_endpoint_auth_methods_supported": ["client_secret_post"]}, {}, True),
        ({}, {"client_secret": None}, False),
    ],
)
async def test_a_client_shows_who_it_is_as_the_provider_wants_it(
    tmp_path: Path, metadata: dict[str, Any], settings: dict[str, Any], expected: bool
) -> None:
    """In the form; or not at all where it has no secret."""
    async with EvilProvider().serve() as provider:
        provider.metadata = metadata
        async with LoginSite(tmp_path, {"idp": provider}, **settings) as site:
            assert (await site.browser().log_in()).status_code == 303
        [(_, form, fields)] = [one for one in provider.asked if one[0] == "/token"]
        assert "authorization" not in fields
        assert form["client_id"] == CLIENT
        assert (form.get("client_secret") == SECRET) is expected


async def test_several_tabs_log_in_at_one_time(tmp_path: Path) -> None:
    """Each leads back to its own page; the oldest of too many is forgotten."""
    async with one_provider(tmp_path) as (_, site):
        browser = site.browser()
        queries = [await browser.start(to=f"/{number}") for number in range(6)]
        assert len(browser.attempts) == 4
        for number in (3, 5, 2):
            response = await browser.come_back(queries[number])
            assert response.headers["location"] == f"/{number}"
        assert (await browser.come_back(queries[0])).status_code == 403


@pytest.mark.parametrize("to", ["//evil.test/", "https://evil.test", "/\\evil.test", ""])
async def test_a_login_leads_to_this_hostname_only(tmp_path: Path, to: str) -> None:
    """Whatever stands in `to`."""
    async with one_provider(tmp_path) as (_, site):
        browser = site.browser()
        response = await browser.come_back(await browser.start(to=to))
        assert response.headers["location"] == "/"


async def test_the_same_for_a_login_over_http_from_elsewhere(tmp_path: Path) -> None:
    """It is refused before anything is sent."""
    async with one_provider(tmp_path) as (provider, site):
        browser = site.browser(address="203.0.113.5")
        response = await browser.get(f"{START}idp", origin=f"http://{HOST}")
        assert response.status_code == 403
        assert provider.asked == []


# -- what comes back to the edge ------------------------------------------------------------------


async def _refused(site: LoginSite, response: httpx.Response, sentence: str) -> None:
    assert response.status_code in (403, 404), response.text
    assert sentence in response.text
    assert "__Host-asgi-tunnel=" not in response.headers.get("set-cookie", "")


ENDED = "This login has ended"


async def test_a_state_that_is_not_this_browsers_is_refused(tmp_path: Path) -> None:
    """Wrong, without its cookie, of another browser, changed, or said twice: nothing is sent on."""
    async with one_provider(tmp_path) as (provider, site):
        browser, victim = site.browser(), site.browser()
        query = await browser.start()
        await _refused(site, await browser.come_back(query, state="other"), ENDED)
        await _refused(site, await browser.come_back(query, state=None), ENDED)
        await _refused(site, await victim.come_back(query), ENDED)
        await victim.start()
        await _refused(site, await victim.come_back(query), ENDED)
        [name] = browser.attempts
        right = browser.cookies[name]
        for value in (
            right[:-2] + ("BA" if right.endswith("AA") else "AA"),
            "1." + right[4:],
            "",
            "1.",
            right.rpartition(".")[0],
        ):
            browser.cookies[name] = value
            await _refused(site, await browser.come_back(query), ENDED)
        browser.cookies[name] = right
        url = f"{CALLBACK}idp?code=c&state={query['state']}&state={query['state']}"
        await _refused(site, await browser.get(url), ENDED)
        assert "/token" not in provider.paths()
        assert (await browser.come_back(query)).status_code == 303


async def test_a_way_back_is_good_once(tmp_path: Path) -> None:
    """Also for who has kept the cookie, and with another code."""
    async with one_provider(tmp_path) as (provider, site):
        browser, thief = site.browser(), site.browser()
        query = await browser.start()
        thief.cookies.update(browser.cookies)
        assert (await browser.come_back(query)).status_code == 303
        await _refused(site, await thief.come_back(query), ENDED)
        await _refused(site, await browser.come_back(query), ENDED)
        assert provider.paths().count("/token") == 1


async def test_a_used_code_is_refused_by_the_provider(tmp_path: Path) -> None:
    """And the page says so."""
    async with one_provider(tmp_path) as (_, site):
        browser = site.browser()
        await browser.log_in()
        response = await site.browser().log_in(code="code-1")
        await _refused(site, response, "does not take this login any more")


async def test_a_login_waits_ten_minutes(tmp_path: Path) -> None:
    """Not longer."""
    async with one_provider(tmp_path) as (_, site):
        browser = site.browser()
        query = await browser.start()
        site.wall = 601
        await _refused(site, await browser.come_back(query), ENDED)


async def test_a_login_of_another_hostname_is_refused(tmp_path: Path) -> None:
    """A cookie that was moved there by hand is worth nothing, nor is one of another port."""
    async with one_provider(tmp_path) as (_, site):
        browser, other = site.browser(), site.browser(OTHER)
        query = await browser.start()
        other.cookies.update(browser.cookies)
        await _refused(site, await other.come_back(query), ENDED)
        url = httpx.URL(f"{CALLBACK}idp", params={"code": "c", "state": query["state"]})
        response = await browser.get(url, origin=f"https://{HOST}:8443")
        await _refused(site, response, ENDED)


async def test_two_providers_are_not_mixed_up(tmp_path: Path) -> None:
    """What began with one never comes back from the other, and no code goes to the wrong one."""
    async with AsyncExitStack() as stack:
        honest = await stack.enter_async_context(EvilProvider().serve())
        evil = await stack.enter_async_context(EvilProvider().serve())
        providers = {"honest": honest, "evil": evil}
        site = await stack.enter_async_context(LoginSite(tmp_path, providers))
        browser = site.browser()
        # The evil one sends the browser on to the honest one, with its own state.
        query = await browser.start("evil")
        await _refused(site, await browser.come_back(query, "honest"), ENDED)
        # And where its way back is used: the honest one says who it is (RFC 9207).
        query = await browser.start("evil")
        response = await browser.come_back(query, "evil", iss=honest.issuer)
        await _refused(site, response, "could not be checked")
        assert "/token" not in evil.paths() + honest.paths()


@pytest.mark.parametrize("iss", [None, "https://other.example.org", ""])
async def test_a_provider_that_names_itself_has_to(tmp_path: Path, iss: str | None) -> None:
    """Its name in what comes back is checked where it announces one (RFC 9207)."""
    async with EvilProvider().serve() as provider:
        provider.metadata = {"authorization_response_iss_parameter_supported": True}
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            browser = site.browser()
            await _refused(site, await browser.log_in(iss=iss), "could not be checked")
            assert "/token" not in provider.paths()
            assert (await browser.log_in(iss=provider.issuer)).status_code == 303


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        ("access_denied", 403, "Idp did not let you in, or you said no there."),
        ("temporarily_unavailable", 503, "Idp cannot be reached right now."),
        ("<script>alert(1)</script>", 403, "Idp has refused this login."),
    ],
)
async def test_an_error_of_the_provider_is_a_sentence(
    tmp_path: Path, error: str, status: int, sentence: str
) -> None:
    """On the page with the ways to log in; what else it says is not shown."""
    async with one_provider(tmp_path) as (_, site):
        response = await site.browser().log_in(
            code=None, error=error, error_description="Call 555-0199"
        )
        assert response.status_code == status
        assert sentence in response.text
        assert "Continue with Idp" in response.text
        assert "555" not in response.text
        assert "<script>alert" not in response.text
        # Without a state of this browser nobody gets a page with a made-up error.
        stranger = await site.browser().get(f"{CALLBACK}idp?error={error}")
        assert ENDED in stranger.text


@pytest.mark.parametrize("code", [None, "", "x" * 5000])
async def test_a_way_back_without_a_code_is_refused(tmp_path: Path, code: str | None) -> None:
    """Nothing is sent on."""
    async with one_provider(tmp_path) as (provider, site):
        await _refused(site, await site.browser().log_in(code=code), "could not be checked")
        assert "/token" not in provider.paths()


# -- what the provider says of a person -----------------------------------------------------------


def _hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    header = {**header, "alg": "HS256"}
    signed = unsigned(header, claims).rpartition(".")[0]
    mac = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _with_claims(**claims: Any) -> Arrange:
    def arrange(provider: EvilProvider) -> None:
        provider.claims = claims

    return arrange


def _none(provider: EvilProvider) -> None:
    provider.sign = lambda header, claims: unsigned({**header, "alg": "none"}, claims)


def _no_algorithm(provider: EvilProvider) -> None:
    provider.sign = lambda header, claims: unsigned({"kid": header["kid"]}, claims)


def _hs256_of_the_public_key(provider: EvilProvider) -> None:
    pem = provider.key.as_pem(private=False)
    provider.sign = lambda header, claims: _hs256(header, claims, pem)


def _hs256_of_the_secret(provider: EvilProvider) -> None:
    provider.sign = lambda header, claims: _hs256(header, claims, SECRET.encode())


def _no_signature(provider: EvilProvider) -> None:
    provider.sign = lambda header, claims: unsigned(header, claims, b"x" * 64)


def _another_key(provider: EvilProvider) -> None:
    provider.key = new_key("one")


def _key_in_the_token(provider: EvilProvider) -> None:
    provider.key = new_key("one")
    provider.header = {"jwk": provider.key.as_dict(private=False)}


def _unknown_kid(provider: EvilProvider) -> None:
    provider.header = {"kid": "unknown"}


def _two_keys_and_no_kid(provider: EvilProvider) -> None:
    provider.published = [provider.key, new_key("two")]
    provider.header = {"kid": None}


def _critical(provider: EvilProvider) -> None:
    provider.sign = lambda header, claims: unsigned({**header, "crit": ["exp"]}, claims, b"x")


def _junk(provider: EvilProvider) -> None:
    provider.token = {"id_token": "a.b.c"}


def _huge(provider: EvilProvider) -> None:
    provider.claims = {"groups": ["x" * 100] * 1400}


def _no_token(provider: EvilProvider) -> None:
    provider.token = {"id_token": None}


def _no_claims(provider: EvilProvider) -> None:
    provider.sign = lambda header, _: jws.serialize_compact(header, b"[1]", provider.key)


def _at_hash_of_nothing(provider: EvilProvider) -> None:
    provider.claims = {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}
    provider.token = {"access_token": None}


def _userinfo_as_a_token(provider: EvilProvider) -> None:
    provider.claims = {"email": None}
    provider.replies["/userinfo"] = (200, "content-type: application/jwt", b"a.b.c")


def _field_in_the_access_token(provider: EvilProvider) -> None:
    provider.claims = {"email": None}
    provider.token = {"access_token": "a\r\nx-admin: 1"}


CHECKED = "could not be checked"


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        pytest.param(_none, '"none", which is not taken', id="alg none"),
        pytest.param(_no_algorithm, "ID token is none", id="no alg"),
        pytest.param(_hs256_of_the_public_key, '"HS256", which is not', id="HS256, public key"),
        pytest.param(_hs256_of_the_secret, '"HS256", which is not', id="HS256, client secret"),
        pytest.param(_no_signature, "wrong signature", id="no signature"),
        pytest.param(_another_key, "wrong signature", id="another key"),
        pytest.param(_key_in_the_token, "wrong signature", id="key in the token"),
        pytest.param(_critical, "cannot be checked", id="crit"),
        pytest.param(_junk, "ID token is none", id="junk"),
        pytest.param(_huge, "larger than", id="huge"),
        pytest.param(_no_token, "no ID token", id="no token"),
        pytest.param(_no_claims, "holds no claims", id="no claims"),
        pytest.param(_at_hash_of_nothing, "another access token", id="at_hash of nothing"),
        pytest.param(_userinfo_as_a_token, "sends a JWT", id="userinfo as JWT"),
        pytest.param(_field_in_the_access_token, "other characters", id="field in a token"),
        pytest.param(_with_claims(iss="https://other.test"), "is of", id="issuer"),
        pytest.param(lambda p: _with_claims(iss=f"{p.issuer}/")(p), "is of", id="issuer, slash"),
        pytest.param(_with_claims(aud="other"), "another client", id="audience"),
        pytest.param(_with_claims(aud=None), "another client", id="no audience"),
        pytest.param(_with_claims(aud=["other", CLIENT]), "another client", id="audiences"),
        pytest.param(_with_claims(azp="other"), "another client", id="azp"),
        pytest.param(_with_claims(nonce="other"), "nonce", id="nonce"),
        pytest.param(_with_claims(nonce=None), "nonce", id="no nonce"),
        pytest.param(_with_claims(nonce=7), "nonce", id="a number as nonce"),
        pytest.param(_with_claims(sub=None), "subject", id="no subject"),
        pytest.param(_with_claims(sub=""), "subject", id="empty subject"),
        pytest.param(_with_claims(exp=lambda now: now - 61), "expired", id="expired"),
        pytest.param(_with_claims(exp=None), "no time as exp", id="no exp"),
        pytest.param(_with_claims(exp=True), "no time as exp", id="exp true"),
        pytest.param(_with_claims(exp="9999999999"), "no time as exp", id="exp text"),
        pytest.param(_with_claims(iat=lambda now: now + 600), "clocks", id="10 min ahead"),
        pytest.param(_with_claims(iat=lambda now: now - 600), "clocks", id="10 min behind"),
        pytest.param(_with_claims(nbf=lambda now: now + 600), "clocks", id="not yet"),
        pytest.param(_with_claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "access", id="at_hash"),
    ],
)
async def test_a_wrong_token_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, arrange: Arrange, said: str
) -> None:
    """The page is one sentence, the log says what was wrong, and neither has anything secret."""
    async with EvilProvider().serve() as provider:
        arrange(provider)
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            with caplog.at_level(logging.DEBUG):
                response = await site.browser().log_in()
            await _refused(site, response, CHECKED)
    ours = [one for one in caplog.records if one.name != "httpx"]  # that is the browser
    [line] = [one.getMessage() for one in ours if "asgi_tunnel_edge" in one.name]
    assert line.startswith("a login with idp failed: ")
    assert said in line
    for secret in ("an-access-token", "eyJ", "code-1", "s3cret"):
        assert not [one for one in ours if secret in one.getMessage()]


@pytest.mark.parametrize("arrange", [_unknown_kid, _two_keys_and_no_kid])
async def test_a_key_that_is_not_published_signs_nothing(tmp_path: Path, arrange: Arrange) -> None:
    """Nor one that would have to be guessed."""
    async with EvilProvider().serve() as provider:
        arrange(provider)
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            response = await site.browser().log_in()
            await _refused(site, response, "signs with a key that it does not publish")


@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(_with_claims(iat=lambda now: now + 30), id="30 s ahead"),
        pytest.param(_with_claims(exp=lambda now: now - 30), id="30 s behind"),
        pytest.param(
            _with_claims(iat=lambda now: now - 300, nbf=lambda now: now - 300), id="Entra"
        ),
        pytest.param(_with_claims(aud=["other", CLIENT], azp=CLIENT), id="audiences"),
        pytest.param(_with_claims(at_hash="YiHPD2T9DaX5B837XJXtow"), id="at_hash"),
        pytest.param(lambda p: setattr(p, "header", {"x5c": ["A" * 2000]}), id="certificate"),
        pytest.param(lambda p: setattr(p, "header", {"kid": None}), id="one key, no kid"),
    ],
)
async def test_what_is_let_through(tmp_path: Path, arrange: Arrange) -> None:
    """Clocks differ by a minute, and providers in what they add."""
    async with EvilProvider().serve() as provider:
        arrange(provider)
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            response = await site.browser().log_in()
            assert response.status_code == 303, response.text


@pytest.mark.parametrize(
    ("claims", "userinfo", "trusts", "expected"),
    [
        ({"email_verified": False}, {}, True, ""),
        ({"email_verified": None}, {}, False, ""),
        ({"email_verified": None}, {}, True, "zoe@example.org"),
        ({"email_verified": "true"}, {}, False, "zoe@example.org"),
        ({"email_verified": 1}, {}, False, ""),
        ({"email": "no address"}, {}, False, ""),
        ({"email": ["zoe@example.org"]}, {}, False, ""),
        (
            {"email": None},
            {"email": "a@example.org", "email_verified": True},
            False,
            "a@example.org",
        ),
        ({"email": None}, {"email": "a@example.org"}, False, ""),
        ({"email_verified": None}, {"email": "b@example.org", "email_verified": True}, False, ""),
    ],
)
async def test_an_address_counts_when_it_is_verified(
    tmp_path: Path,
    claims: dict[str, Any],
    userinfo: dict[str, Any],
    trusts: bool,
    expected: str,
) -> None:
    """Or where nothing is said and the operator trusts the provider; of one place, never of two."""
    async with EvilProvider().serve() as provider:
        provider.claims, provider.userinfo = claims, userinfo
        policy = {"emails": ("*",)}
        async with LoginSite(
            tmp_path, {"idp": provider}, policy=policy, trust_email=trusts
        ) as site:
            browser = site.browser()
            assert (await browser.log_in()).status_code == 303
            assert browser.claims is not None
            assert browser.claims.email == expected


async def test_who_has_no_verified_address_is_not_of_a_domain(tmp_path: Path) -> None:
    """They are logged in at the provider, and not let in here."""
    async with EvilProvider().serve() as provider:
        provider.claims = {"email_verified": False}
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            await _refused(site, await site.browser().log_in(), "You may not come in here")


async def test_groups_come_from_the_token_or_from_userinfo(tmp_path: Path) -> None:
    """Under the name that settings say; what is no group is left out."""
    policy = {"groups": ("/family",)}
    async with one_provider(tmp_path, policy=policy, groups_claim="roles") as (provider, site):
        provider.claims = {"roles": ["/family", 7, "", "x" * 200, "a\nb", "/family"]}
        browser = site.browser()
        assert (await browser.log_in()).status_code == 303
        assert browser.claims is not None
        assert browser.claims.groups == ("/family",)
        assert "/userinfo" not in provider.paths()
        provider.claims, provider.userinfo = {}, {"roles": "/family"}
        assert (await site.browser().log_in()).status_code == 303
        provider.userinfo = {"roles": ["/others"]}
        await _refused(site, await site.browser().log_in(), "You may not come in here")


async def test_userinfo_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Its subject has to be the token's."""
    async with EvilProvider().serve() as provider:
        provider.claims = {"email": None}
        provider.userinfo = {"sub": "1", "email": "boss@example.org", "email_verified": True}
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            await _refused(site, await site.browser().log_in(), CHECKED)


# -- a provider that is away, or sends what it should not -----------------------------------------

STEPS = (DISCOVERY, "/token", "/keys", "/userinfo")


async def _try(site: LoginSite) -> httpx.Response:
    browser = site.browser()
    response = await browser.get(f"{START}idp?to=/")
    if response.status_code != 303:
        return response
    query = dict(httpx.URL(response.headers["location"]).params)
    return await browser.come_back(query)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param((500, "x: y", b"down"), id="500"),
        pytest.param((302, "location: http://169.254.169.254/", b""), id="redirect"),
        pytest.param((200, "content-type: application/json", b"{" * 300_000), id="large"),
        pytest.param((200, "content-type: application/json", b"[" * 200_000), id="nested"),
        pytest.param((200, "content-type: application/json", b"[]"), id="list"),
        pytest.param((200, "content-encoding: gzip", b"\x1f\x8b" * 50), id="compressed"),
        pytest.param((200, "bad\x01 field", b""), id="no HTTP"),
    ],
)
async def test_a_provider_that_fails_is_a_page(
    tmp_path: Path, step: str, reply: tuple[int, str, bytes]
) -> None:
    """With 503, and the other ways to log in."""
    async with EvilProvider().serve() as provider, EvilProvider().serve() as other:
        provider.replies[step] = reply
        provider.claims = {"email": None}
        async with LoginSite(tmp_path, {"idp": provider, "other": other}) as site:
            response = await _try(site)
            assert response.status_code == 503, response.text
            assert "Idp cannot be reached right now." in response.text
            assert "Continue with Other" in response.text
            assert (await site.browser().log_in("other")).status_code == 303


@pytest.mark.parametrize("step", STEPS)
async def test_a_provider_that_is_silent_is_a_page_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """At each step; the bound of a whole step is 4.5 s, and shorter here."""
    monkeypatch.setattr("asgi_tunnel_edge.login.oidc.provider.STEP_TIMEOUT", 0.2)
    async with EvilProvider().serve() as provider:
        provider.silent.add(step)
        provider.claims = {"email": None}
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            began = time.monotonic()
            assert (await _try(site)).status_code == 503
            assert time.monotonic() - began < 2


async def test_a_provider_that_is_not_there_is_a_page(tmp_path: Path) -> None:
    """And is asked again a few seconds later only, however many people come."""
    async with EvilProvider().serve() as provider:
        pass
    async with LoginSite(tmp_path, {"idp": provider}) as site:
        responses = await asyncio.gather(*(_try(site) for _ in range(20)))
        assert {one.status_code for one in responses} == {503}


async def test_logins_with_one_provider_are_bounded(tmp_path: Path) -> None:
    """Of one address, and of all: one more gets 503 at once, and the others go on."""

    async def start(site: LoginSite, address: str) -> httpx.Response:
        return await site.browser(address=address).get(f"{START}idp")

    async with one_provider(tmp_path) as (provider, site):
        provider.silent.add(DISCOVERY)
        logins = site.login.providers["idp"]._logins
        waiting: list[asyncio.Task[httpx.Response]] = []
        for group in range(4):
            address = f"192.0.2.{group}"
            waiting += [asyncio.create_task(start(site, address)) for _ in range(16)]
            while logins.total() < len(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0)
            response = await start(site, address)
            assert response.status_code == 503
            assert "Many people log in" in response.text
        assert (await start(site, "192.0.2.99")).status_code == 503
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not logins


async def test_the_log_is_not_filled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By failed logins: a line now and then, which counts the others."""
    monkeypatch.setattr("asgi_tunnel_edge.login.oidc.login.LOG_PAUSE", 60.0)
    async with one_provider(tmp_path) as (provider, site):
        provider.claims = {"nonce": "other"}
        for _ in range(5):
            await site.browser().log_in()
        assert caplog.text.count("a login with idp failed") == 1
        site.login._silent_until.clear()
        await site.browser().log_in()
        assert "(4 more times before)" in caplog.text


async def test_another_login_takes_the_place_of_a_session(tmp_path: Path) -> None:
    """Of the same browser: the first one has ended then."""
    async with one_provider(tmp_path, prompt="login") as (provider, site):
        browser = site.browser()
        await browser.log_in()
        first = browser.claims
        provider.claims = {"sub": "2", "email": "ben@example.org"}
        query = await browser.start()
        assert query["prompt"] == "login"
        await browser.come_back(query)
        assert browser.claims is not None
        assert browser.claims.subject == "2"
        assert first is not None
        store = site.login._app.sessions.store
        assert [one.subject for one in store.sessions()] == ["oidc:idp:2"]


async def test_sessions_end_with_their_provider(tmp_path: Path) -> None:
    """Where its table is taken out, or names another provider."""
    async with one_provider(tmp_path) as (provider, site):
        browser = site.browser()
        await browser.log_in()
        value = browser.cookies["__Host-asgi-tunnel"].encode()
        policies = {"family": AccessConfig(domains=("example.org",))}
        signer = site.doors.signer
        for issuers, holds in (
            ({"idp": provider.issuer}, True),
            ({"idp": "https://other.test"}, False),
            ({"other": provider.issuer}, False),
            ({}, False),
        ):
            doors = Doors(policies, signer, issuers=issuers)
            assert (doors.identify(value, HOST, time.time()) is not None) is holds


async def test_a_wrong_secret_is_the_operators_to_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The visitor hears that, and the log names the settings."""
    async with EvilProvider().serve() as provider:
        body = json.dumps({"error": "invalid_client", "error_description": SECRET}).encode()
        provider.replies["/token"] = (401, "content-type: application/json", body)
        async with LoginSite(tmp_path, {"idp": provider}) as site:
            response = await site.browser().log_in()
            assert response.status_code == 503
            assert "not set up rightly" in response.text
        assert "look at client_id and the secret" in caplog.text
        assert SECRET not in caplog.text


async def test_only_the_providers_of_a_policy_are_offered(tmp_path: Path) -> None:
    """The others are not there, also for who knows their address."""
    async with EvilProvider().serve() as one, EvilProvider().serve() as two:
        policy = {"domains": ("example.org",), "providers": ("one",)}
        async with LoginSite(tmp_path, {"one": one, "two": two}, policy=policy) as site:
            browser = site.browser()
            page = await browser.get(f"{ACCESS_PATH}login")
            assert "Continue with One" in page.text
            assert "Continue with Two" not in page.text
            for url in (f"{START}two", f"{START}nobody"):
                assert (await browser.get(url)).status_code == 404
            assert two.asked == []
