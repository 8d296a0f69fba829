"""TLS between edges: who is let in, and who is not."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from edge.tests.cluster.meeting import meet

from asgi_tunnel_edge.cluster.authority import Authority, NodeIdentity
from asgi_tunnel_edge.cluster.tls import (
    accepting_context,
    dialing_context,
)
from asgi_tunnel_edge.errors import CertificateError


async def test_two_edges() -> None:
    """Each sees whom it speaks with."""
    authority = Authority.create()
    one, other = authority.issue("a"), authority.issue("b")
    found = await meet(dialing_context(one), accepting_context(other), means="b")
    assert found == ("b", "a")


async def test_another_edge_than_it_means() -> None:
    """An edge cannot stand for another one."""
    authority = Authority.create()
    one, other = authority.issue("a"), authority.issue("b")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await meet(dialing_context(one), accepting_context(other), means="c")


async def test_another_cluster() -> None:
    """Certificates of another authority are refused, on either side."""
    one, other = Authority.create().issue("a"), Authority.create().issue("b")
    with pytest.raises(ssl.SSLCertVerificationError):
        await meet(dialing_context(one), accepting_context(other), means="b")
    trusting = NodeIdentity(authority=other.authority, certificate=one.certificate, key=one.key)
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await meet(dialing_context(trusting), accepting_context(other), means="b")


async def test_no_certificate() -> None:
    """Who shows none is refused."""
    other = Authority.create().issue("b")
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(cadata=other.authority.decode())
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await meet(bare, accepting_context(other), means="b")


def test_no_pair() -> None:
    """Certificate and key of two edges are refused before anything is served."""
    authority = Authority.create()
    one, other = authority.issue("a"), authority.issue("b")
    mixed = NodeIdentity(authority=one.authority, certificate=one.certificate, key=other.key)
    for make in (dialing_context, accepting_context):
        with pytest.raises(CertificateError, match="cluster join"):
            make(mixed)
