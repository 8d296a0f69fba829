"""The cluster's certificate authority, and what it says of an edge."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from asgi_tunnel_edge.cluster.authority import Authority, edge_name, server_name
from asgi_tunnel_edge.errors import CertificateError


def test_an_edge() -> None:
    """Its certificate names it, is signed by the authority, and can sign no other."""
    authority = Authority.create()
    found = authority.issue("berlin-1")
    certificate = x509.load_pem_x509_certificate(found.certificate)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    certificate.verify_directly_issued_by(issuer)
    assert found.authority == authority.certificate
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert edge_name(der) == "berlin-1"
    assert server_name("berlin-1") == "berlin-1.edge.asgi-tunnel.internal"
    assert certificate.not_valid_after_utc == issuer.not_valid_after_utc


def test_others_name_no_edge() -> None:
    """Neither the authority itself, nor what is no certificate."""
    authority = x509.load_pem_x509_certificate(Authority.create().certificate)
    for data in (authority.public_bytes(serialization.Encoding.DER), b"", b"x"):
        with pytest.raises(CertificateError, match="not one of an edge"):
            edge_name(data)


def test_an_authority_that_cannot_be_read() -> None:
    """Where its key is none, this is said."""
    with pytest.raises(CertificateError, match="cannot be read"):
        Authority(certificate=Authority.create().certificate, key=b"x").issue("a")
