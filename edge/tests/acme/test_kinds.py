"""Each kind of challenge, against a real CA."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from asgi_tunnel_edge.certificates.acme import (
    AcmeClient,
    HttpTokens,
    TlsAlpnCertificates,
    persistent_record_fits,
)
from asgi_tunnel_edge.errors import AcmeError, SolverError

from .pebble import ChallengeDns, Pebble, PersistentDns, http_server, newer, obtain, tls_server


def names_of(chain_pem: bytes) -> set[str]:
    """The names in the first certificate."""
    certificate = x509.load_pem_x509_certificate(chain_pem)
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(one) for one in found.get_values_for_type(x509.IPAddress)}
    return set(found.get_values_for_type(x509.DNSName)) | addresses


async def test_http(pebble: Pebble, client: AcmeClient) -> None:
    """http-01 for a name, for its other name and for an address; nothing is left visible."""
    tokens = HttpTokens()
    async with http_server(tokens, pebble.http_port) as asked:
        names = ["shop.test", "www.shop.test", "127.0.0.1"]
        issued = await obtain(client, names, [tokens])
    assert names_of(issued.chain_pem) == set(names)
    assert len(asked) >= 3
    assert all(tokens.lookup(path.rpartition("/")[2]) is None for path in asked)


async def test_tls_alpn(pebble: Pebble, client: AcmeClient, folder: Path) -> None:
    """tls-alpn-01 for a name and an address, which is asked for by its name in in-addr.arpa."""
    certificates = TlsAlpnCertificates()
    async with tls_server(certificates, pebble.tls_port, folder) as asked:
        issued = await obtain(client, ["shop.test", "127.0.0.1"], [certificates])
    assert names_of(issued.chain_pem) == {"shop.test", "127.0.0.1"}
    assert {"shop.test", "1.0.0.127.in-addr.arpa"} <= set(asked)
    assert certificates.context("shop.test") is None


async def test_dns_wildcard_and_base(pebble: Pebble, client: AcmeClient) -> None:
    """A wildcard and its base have two records at one name at one time; both are taken away."""
    dns = ChallengeDns(pebble)
    issued = await obtain(client, ["shop.test", "*.shop.test"], [dns])
    assert names_of(issued.chain_pem) == {"shop.test", "*.shop.test"}
    assert dns.most == 2
    assert dns.present_values == []


@newer
@pytest.mark.parametrize("names", [["one.test"], ["two.test", "*.two.test"]])
async def test_dns_persist(pebble: Pebble, client: AcmeClient, names: list[str]) -> None:
    """dns-persist-01 with a record that names the account, and the wildcard when it has to."""
    dns = PersistentDns(pebble)
    issued = await obtain(client, names, [dns])
    assert names_of(issued.chain_pem) == set(names)
    url = client.account_url
    assert url is not None
    made = {text for _, text in dns.records}
    assert f"pebble.test; accounturi={url}" in made
    assert (f"pebble.test; accounturi={url}; policy=wildcard" in made) == (len(names) == 2)
    assert any(
        persistent_record_fits(
            text, issuers=["pebble.test"], account_url=url, wildcard=len(names) == 2, now=0
        )
        for text in made
    )


async def test_solvers_in_their_order(pebble: Pebble, client: AcmeClient) -> None:
    """One order may use two kinds: the wildcard needs the DNS, the address cannot use it."""
    tokens, dns = HttpTokens(), ChallengeDns(pebble)
    async with http_server(tokens, pebble.http_port) as asked:
        names = ["*.mixed.test", "mixed.test", "127.0.0.1"]
        issued = await obtain(client, names, [dns, tokens])
    assert names_of(issued.chain_pem) == set(names)
    assert asked


async def test_next_kind_after_a_solver_that_cannot(pebble: Pebble, client: AcmeClient) -> None:
    """What one solver cannot show is proved by the next."""

    class Broken:
        kind = "dns-01"

        async def present(self, name: str, value: str) -> None:
            raise SolverError("the program failed; look at it")

        async def clear(self, name: str, value: str) -> None:
            raise AssertionError("nothing was shown")

    tokens = HttpTokens()
    async with http_server(tokens, pebble.http_port):
        await obtain(client, ["fallback.test"], [Broken(), tokens])
    with pytest.raises(SolverError, match="the program failed; look at it"):
        await obtain(client, ["broken.test"], [Broken()])


async def test_another_kind_after_a_failure(pebble: Pebble, client: AcmeClient) -> None:
    """A kind that failed is not the first one of the next try."""
    tokens, dns = HttpTokens(), ChallengeDns(pebble)  # nothing listens for http-01
    with pytest.raises(AcmeError):
        await obtain(client, ["turn.test"], [tokens, dns])
    await obtain(client, ["turn.test"], [tokens, dns], failures=1)


async def test_no_solver_for_a_wildcard(client: AcmeClient) -> None:
    """A wildcard without DNS is refused before the CA counts a failure."""
    with pytest.raises(SolverError, match=r"prove \*\.shop\.test.*http-01 is set up here"):
        await obtain(client, ["*.shop.test"], [HttpTokens()])


async def test_slow_solver(client: AcmeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that never ends does not hold up the edge for ever."""

    class Slow:
        kind = "dns-01"

        async def present(self, name: str, value: str) -> None:
            await asyncio.Event().wait()

        async def clear(self, name: str, value: str) -> None:
            """Nothing was shown."""

    monkeypatch.setattr("asgi_tunnel_edge.certificates.acme.order.SHOW_BOUND", 0.05)
    with pytest.raises(SolverError, match="was not visible within"):
        await obtain(client, ["slow.test"], [Slow()])


# -- what fails ------------------------------------------------------------------------------------


async def test_nobody_listens(client: AcmeClient) -> None:
    """http-01 where port 80 is closed: who could not be reached, and what to open."""
    with pytest.raises(AcmeError, match=r"could not connect to closed\.test.*ports 80 and 443"):
        await obtain(client, ["closed.test"], [HttpTokens()])


async def test_wrong_proof(pebble: Pebble, client: AcmeClient) -> None:
    """Something else answers on port 80: the CA's words are shown, in quotes and on one line."""

    class Wrong(HttpTokens):
        def lookup(self, token: str) -> str | None:
            return "hello\nworld"

    async with http_server(Wrong(), pebble.http_port):
        with pytest.raises(AcmeError, match=r"the right proof for wrong\.test") as caught:
            await obtain(client, ["wrong.test"], [Wrong()])
    assert caught.value.kind == "unauthorized"
    assert str(caught.value).isprintable()


@newer
async def test_record_of_another_account(pebble: Pebble, client: AcmeClient) -> None:
    """dns-persist-01 with the record of another account is refused, with both in the sentence."""

    class Other(PersistentDns):
        async def present(self, name: str, value: str) -> None:
            await super().present(name, "pebble.test; accounturi=https://ca.test/acct/1")

    with pytest.raises(AcmeError, match="accounturi mismatch"):
        await obtain(client, ["other.test"], [Other(pebble)])


async def test_failure_leaves_nothing_visible(pebble: Pebble, client: AcmeClient) -> None:
    """When one name of an order fails, the proofs of the others are taken away too."""
    dns = ChallengeDns(pebble)

    class Nothing(HttpTokens):
        pass

    with pytest.raises(AcmeError):
        await obtain(client, ["half.test", "127.0.0.1"], [dns, Nothing()])
    assert dns.present_values == []


@newer
async def test_short_lived(client: AcmeClient, tokens: HttpTokens) -> None:
    """The CA's profile decides how long a certificate lives: here 6 days."""
    issued = await obtain(client, ["short.test"], [tokens], profile="shortlived")
    assert issued.checked.not_after - issued.checked.not_before == pytest.approx(518400, abs=2)
