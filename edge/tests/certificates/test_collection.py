from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.collection import CertificateCollection
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import CertificateError


def make(folder: Path, domain: str) -> tuple[bytes, bytes]:
    """A certificate for a domain, the names below it and this machine's addresses."""
    files = create_internal_certificate(domain, folder / domain)
    return files.certificate.read_bytes(), files.key.read_bytes()


def test_each_name_gets_its_own(tmp_path: Path) -> None:
    """Exact names before wildcards, one label deep; an unknown name gets none."""
    source = CertificateCollection("example.org")
    assert source.find("example.org") is None
    assert source.find(None) is None
    source.install(*make(tmp_path, "example.org"))
    source.install(*make(tmp_path, "shop.example.org"))
    main, shop = source.find("example.org"), source.find("shop.example.org")
    assert main is not None
    assert shop is not None
    assert main is not shop
    assert source.find("blog.example.org") is main
    assert source.find("a.shop.example.org") is shop
    assert source.find("a.b.example.org") is None
    assert source.find("example.net") is None
    assert len(source.pems) == 2


def test_who_names_no_server_gets_that_of_the_address(tmp_path: Path) -> None:
    """Its own names are what a connection is compared with, not those that were ordered."""
    source = CertificateCollection("example.org")
    source.install(*make(tmp_path, "example.org"))
    shown = source.find(None)
    assert shown is source.find("127.0.0.1")
    assert shown is not None
    assert isinstance(shown.context, ssl.SSLContext)
    assert shown.covers("blog.example.org")
    assert not shown.covers("example.net")


def test_what_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    """A foreign key or nonsense gets a sentence; what was shown stays."""
    source = CertificateCollection("example.org")
    chain, key = make(tmp_path, "example.org")
    source.install(chain, key)
    shown = source.find("example.org")
    _, other = make(tmp_path, "other.test")
    for wrong in ((chain, other), (b"nonsense", key), (chain, b"")):
        with pytest.raises(CertificateError, match="order"):
            source.install(*wrong)
    assert source.find("example.org") is shown
