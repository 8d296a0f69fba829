from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from asgi_tunnel_edge.certificates.acme import AcmeClient, ExternalAccount, HttpTokens
from asgi_tunnel_edge.certificates.acme.jws import AccountKey
from asgi_tunnel_edge.errors import AcmeError

from .pebble import BLOCKED, Pebble, newer, obtain, start_pebble

MAC_KEY = base64.urlsafe_b64encode(b"0123456789abcdef" * 2).decode().rstrip("=")


async def test_account_is_made_and_found(pebble: Pebble, client: AcmeClient) -> None:
    """The same key gives the same account, also to a client that does not know its URL."""
    url = await client.register(contact=["owner@example.org"])
    async with pebble.client(client.key) as other:
        assert await other.find_account() == url
        assert await other.register() == url


async def test_key_without_account(client: AcmeClient) -> None:
    """A key that the CA does not know is said so, with what happens next."""
    with pytest.raises(AcmeError, match="does not know this account") as caught:
        await client.find_account()
    assert caught.value.kind == "accountDoesNotExist"


async def test_bad_nonces(client: AcmeClient) -> None:
    """Of a CA that refuses 30 nonces of 100, every request of 60 passes."""
    await client.register()
    for _ in range(60):
        assert await client.find_account() == client.account_url


async def test_all_nonces_bad(pebble_built: None, tmp_path: Path) -> None:
    """A CA that refuses every nonce is not asked for ever."""
    with start_pebble(tmp_path, bad_nonces=100) as one:
        async with one.client() as client:
            with pytest.raises(AcmeError, match="refused every nonce") as caught:
                await client.register()
    assert caught.value.kind == "badNonce"


@pytest.fixture(scope="module")
def customers_only(
    pebble_built: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pebble]:
    """A CA that takes customers only."""
    with start_pebble(
        tmp_path_factory.mktemp("eab"),
        externalAccountBindingRequired=True,
        externalAccountMACKeys={"kid-1": MAC_KEY},
    ) as one:
        yield one


async def test_external_account(customers_only: Pebble) -> None:
    """With the CA's key id and HMAC key there is an account; the directory says they are needed."""
    async with customers_only.client() as client:
        assert (await client.directory()).meta.external_account_required
        await client.register(external=ExternalAccount(key_id="kid-1", mac_key=MAC_KEY))
        assert client.account_url


async def test_external_account_missing(customers_only: Pebble) -> None:
    """Without them the CA's refusal says what to get."""
    async with customers_only.client() as client:
        with pytest.raises(AcmeError, match="give the key id and the HMAC key") as caught:
            await client.register()
    assert caught.value.kind == "externalAccountRequired"


async def test_external_account_key_is_no_base64() -> None:
    """A key that was copied wrongly is found before anything is sent."""
    with pytest.raises(AcmeError, match="not base64url"):
        ExternalAccount(key_id="kid-1", mac_key="not so!").secret()


async def test_rejected_identifier(client: AcmeClient) -> None:
    """A name that the CA does not issue for is named, with its words."""
    await client.register()
    with pytest.raises(AcmeError, match=f"does not issue for {BLOCKED}.*forbidden") as caught:
        await client.new_order([BLOCKED], profile="default")
    assert caught.value.kind == "rejectedIdentifier"


@newer
async def test_unknown_profile(client: AcmeClient) -> None:
    """A profile that the directory does not have is not asked for; those it has are named."""
    await client.register()
    with pytest.raises(AcmeError, match=r'"(default|shortlived)", "(default|shortlived)"'):
        await client.new_order(["a.test"], profile="longlived")


async def test_root_not_trusted(pebble: Pebble) -> None:
    """Without its root a private CA is not talked to; the sentence names the option."""
    async with AcmeClient(pebble.directory, AccountKey.generate()) as client:
        with pytest.raises(AcmeError, match=r"not trusted .*--acme-root") as caught:
            await client.directory()
    assert caught.value.kind == "unreachable"


@newer
async def test_revocation_and_new_issue(client: AcmeClient, tokens: HttpTokens) -> None:
    """A certificate is revoked once; ARI then wants a new one at once, which replaces it."""
    first = await obtain(client, ["revoked.test"], [tokens])
    der = x509.load_pem_x509_certificate(first.chain_pem).public_bytes(Encoding.DER)
    cert_id = first.checked.ari_id
    assert cert_id is not None
    await client.revoke(der, reason=1)
    with pytest.raises(AcmeError, match="has revoked this certificate already"):
        await client.revoke(der)
    info = await client.renewal_info(cert_id)
    assert info is not None
    assert info.value.suggested_window.start < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    second = await obtain(client, ["revoked.test"], [tokens], replaces=cert_id)
    assert second.checked.serial != first.checked.serial


async def test_already_replaced(client: AcmeClient, tokens: HttpTokens) -> None:
    """A certificate that was replaced is replaced again: the order is made without naming it."""
    first = await obtain(client, ["again.test"], [tokens])
    await obtain(client, ["again.test"], [tokens], replaces=first.checked.ari_id)
    third = await obtain(client, ["again.test"], [tokens], replaces=first.checked.ari_id)
    assert third.checked.serial != first.checked.serial


async def test_replaces_of_another_ca(client: AcmeClient, tokens: HttpTokens) -> None:
    """An old certificate that this CA does not know is no reason not to get a new one."""
    issued = await obtain(client, ["foreign.test"], [tokens], replaces="aYhba4dGQEHhs3uEe6.AIdl")
    assert issued.checked.serial
