from __future__ import annotations

import hashlib

import pytest
from cryptography import x509

from asgi_tunnel_edge.certificates.acme import challenges
from asgi_tunnel_edge.certificates.acme.challenges import (
    HttpTokens,
    TlsAlpnCertificates,
    dns_value,
    persistent_record,
    persistent_record_fits,
    proof,
    tls_alpn_certificate,
)
from asgi_tunnel_edge.certificates.acme.messages import Challenge
from asgi_tunnel_edge.errors import AcmeError, SolverError

ACCOUNT = "https://ca.test/acct/1"


def test_dns_value() -> None:
    """43 characters of base64url: the hash of the key authorization."""
    assert dns_value("token.thumbprint") == "61rBZ_4knHblO0MNoxFsXZ_eTFUHum0B6IVRbhvUn5I"


def test_proofs() -> None:
    """Each kind of challenge has its own form of proof; what lacks something is refused."""

    def show(challenge: Challenge) -> str:
        return proof(challenge, thumbprint="print", account_url=ACCOUNT, wildcard=True)

    assert show(Challenge("http-01", "https://a", token="tok")) == "tok.print"
    assert show(Challenge("tls-alpn-01", "https://a", token="tok")) == "tok.print"
    assert show(Challenge("dns-01", "https://a", token="tok")) == dns_value("tok.print")
    persist = Challenge("dns-persist-01", "https://a", issuer_domain_names=["ca.test", "b.test"])
    assert show(persist) == f"ca.test; accounturi={ACCOUNT}; policy=wildcard"
    for challenge in (Challenge("http-01", "https://a"), Challenge("dns-persist-01", "https://a")):
        with pytest.raises(AcmeError, match="use another kind"):
            show(challenge)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (persistent_record("ca.test", ACCOUNT, wildcard=True), True),
        (f"CA.Test ;accounturi={ACCOUNT};  POLICY=Wildcard; unknown=1", True),
        (f"ca.test; accounturi={ACCOUNT}; policy=wildcard; persistUntil=1000", True),
        (f"ca.test; accounturi={ACCOUNT}; policy=wildcard; persistUntil=999", False),
        (f"ca.test; accounturi={ACCOUNT}; policy=wildcard; persistUntil=soon", False),
        (f"ca.test; accounturi={ACCOUNT}", False),
        (f"other.test; accounturi={ACCOUNT}; policy=wildcard", False),
        ("ca.test; accounturi=https://ca.test/acct/2; policy=wildcard", False),
        (f"ca.test; accounturi={ACCOUNT}; accounturi={ACCOUNT}; policy=wildcard", False),
        ("ca.test; policy=wildcard", False),
        ("ca.test; nonsense", False),
        ("", False),
    ],
)
def test_persistent_record(text: str, fits: bool) -> None:
    """Which TXT records a CA takes for this account, a wildcard and the time 1000."""
    assert fits == persistent_record_fits(
        text, issuers=["ca.test"], account_url=ACCOUNT, wildcard=True, now=1000
    )


def test_tls_alpn_certificate() -> None:
    """RFC 8737 section 3: one name, and the hash in a critical extension."""
    pem, _ = tls_alpn_certificate("shop.test", "tok.print")
    certificate = x509.load_pem_x509_certificate(pem)
    found = certificate.extensions.get_extension_for_oid(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
    )
    assert found.critical
    assert isinstance(found.value, x509.UnrecognizedExtension)
    assert found.value.value == b"\x04\x20" + hashlib.sha256(b"tok.print").digest()


async def test_http_tokens() -> None:
    """Only a token that is there is answered; the number of tokens is bounded."""
    tokens = HttpTokens()
    await tokens.present("shop.test", "tok.print")
    assert (tokens.lookup("tok"), tokens.lookup("")) == ("tok.print", None)
    await tokens.clear("shop.test", "tok.print")
    await tokens.clear("shop.test", "tok.print")
    assert tokens.lookup("tok") is None


async def test_tls_alpn_names() -> None:
    """A name is asked for in any case, an IPv6 address by its name in ip6.arpa."""
    certificates = TlsAlpnCertificates()
    await certificates.present("shop.test", "tok.print")
    await certificates.present("2001:db8::1", "tok.print")
    assert certificates.context("Shop.Test")
    assert certificates.context(f"1.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa")
    assert certificates.context(None) is None
    await certificates.present("shop.test", "new.print")
    await certificates.clear("shop.test", "tok.print")  # the older one: it is gone already
    assert certificates.context("shop.test")
    await certificates.clear("shop.test", "new.print")
    assert certificates.context("shop.test") is None


async def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CA makes the edge keep proofs without end."""
    monkeypatch.setattr(challenges, "MAX_PROOFS", 1)
    for solver in (HttpTokens(), TlsAlpnCertificates()):
        await solver.present("a.test", "a.print")
        with pytest.raises(SolverError):
            await solver.present("b.test", "b.print")
