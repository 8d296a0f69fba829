"""What is known of a provider: how long it is kept, and which keys count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from asgi_tunnel_edge.login.oidc.problems import ProviderError
from asgi_tunnel_edge.login.oidc.provider import Provider, parse_keys
from asgi_tunnel_edge.settings.oidc import OidcConfig

from .evil import CLIENT, DISCOVERY, EvilProvider, new_key

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@asynccontextmanager
async def known(**metadata: Any) -> AsyncIterator[tuple[EvilProvider, Provider, Clock]]:
    """A provider, and what an edge knows of it."""
    async with EvilProvider().serve() as evil:
        evil.metadata = metadata
        clock = Clock()
        settings = OidcConfig(issuer=evil.issuer, client_id=CLIENT)
        provider = Provider("idp", settings, None, clock=clock)
        try:
            yield evil, provider, clock
        finally:
            await provider.aclose()


async def test_a_new_key_is_found_when_a_token_names_it() -> None:
    """Once a minute at most, so that nobody makes the edge ask all the time."""
    async with known() as (evil, provider, clock):
        assert (await provider.key("one", "ES256")).name == "one"
        evil.key = new_key("two")
        evil.published = [evil.key]
        clock.now += 59
        with pytest.raises(ProviderError, match="no key"):
            await provider.key("two", "ES256")
        assert evil.paths().count("/keys") == 1
        clock.now += 1
        assert (await provider.key("two", "ES256")).name == "two"
        with pytest.raises(ProviderError):
            await provider.key("one", "ES256")  # withdrawn
        for _ in range(5):
            with pytest.raises(ProviderError):
                await provider.key("three", "ES256")
        assert evil.paths().count("/keys") == 2


async def test_what_a_provider_says_is_kept_for_an_hour() -> None:
    """Keys as well: one that was withdrawn is worth nothing then."""
    async with known() as (evil, provider, clock):
        for _ in range(3):
            await provider.key("one", "ES256")
        assert evil.paths() == [DISCOVERY, "/keys"]
        evil.published = []
        clock.now += 3600
        with pytest.raises(ProviderError):
            await provider.key("one", "ES256")
        assert evil.paths() == [DISCOVERY, "/keys"] * 2


async def test_a_failure_is_remembered_for_a_moment() -> None:
    """Then the provider is asked again."""
    async with known() as (evil, provider, clock):
        evil.replies[DISCOVERY] = (500, "x: y", b"")
        for _ in range(3):
            with pytest.raises(ProviderError):
                await provider.metadata()
        assert len(evil.asked) == 1
        evil.replies.clear()
        clock.now += 3
        assert (await provider.metadata()).token_endpoint == f"{evil.issuer}/token"


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"issuer": "https://other.test"}, 'calls itself "https://other.test"'),
        ({"issuer": None}, "calls itself"),
        ({"token_endpoint": "http://elsewhere.test/token"}, "no https URL as token_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "as authorization_endpoint"),
        ({"authorization_endpoint": "https://a.test/x\r\ny: z"}, "as authorization_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "no https URL as jwks_uri"),
        ({"jwks_uri": ["https://a.test"]}, "no https URL as jwks_uri"),
        ({"userinfo_endpoint": "https://u:p@a.test/"}, "as userinfo_endpoint"),
    ],
)
async def test_a_configuration_that_is_wrong_is_not_used(
    metadata: dict[str, Any], sentence: str
) -> None:
    """The log says what is wrong with it."""
    async with known(**metadata) as (_, provider, _clock):
        with pytest.raises(ProviderError, match=sentence):
            await provider.metadata()


def test_only_keys_that_sign_are_taken() -> None:
    """No shared secret, no key for encryption, no short one; and nothing that is no key."""
    ec = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}).as_dict(private=False)
    ed = OKPKey.generate_key("Ed25519", {"kid": "ed"}).as_dict(private=False)
    rsa = RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS256"}).as_dict(private=False)
    bad: list[Any] = [
        OctKey.generate_key(256, {"kid": "oct"}).as_dict(),
        {**ec, "use": "enc"},
        {**ec, "key_ops": ["sign"]},
        {**ec, "x": ec["y"]},  # not on the curve
        {**ec, "x": "A" * 5000},
        {**ec, "crv": "secp256k1"},
        {**ed, "x": "AA"},
        {**ed, "crv": "X25519"},
        {**rsa, "n": "AQAB"},
        {**rsa, "n": "/" * 1366},
        {**rsa, "e": 65537},
        {"kty": "RSA"},
        {"kty": ["EC"]},
        {},
        "key",
        None,
    ]
    found = parse_keys({"keys": [*bad, ec, ed, rsa]})
    assert [(one.name, one.kind, one.algorithm) for one in found] == [
        ("ec", "P-256", None),
        ("ed", "Ed25519", None),
        ("rsa", "RSA", "RS256"),
    ]
    tables: list[dict[str, object]] = [{}, {"keys": None}, {"keys": {"a": 1}}]
    for table in tables:
        assert parse_keys(table) == []
    assert len(parse_keys({"keys": [ec] * 200})) == 100


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: RSAKey.generate_key(2048, {"kid": "k"}), "RS256"),
        (lambda: RSAKey.generate_key(2048, {"kid": "k"}), "PS512"),
        (lambda: ECKey.generate_key("P-384", {"kid": "k"}), "ES384"),
        (lambda: OKPKey.generate_key("Ed25519", {"kid": "k", "alg": "EdDSA"}), "EdDSA"),
        (lambda: OKPKey.generate_key("Ed25519", {"kid": "k", "alg": "EdDSA"}), "Ed25519"),
    ],
)
async def test_each_algorithm_has_keys_of_its_own_kind(make: Any, algorithm: str) -> None:
    """A key is never used with an algorithm that it is not for."""
    async with known() as (evil, provider, _):
        evil.published = [make()]
        assert (await provider.key("k", algorithm)).key.key_type == evil.published[0].key_type
        with pytest.raises(ProviderError):
            await provider.key("k", "ES256")
