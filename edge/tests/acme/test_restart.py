"""The issuer with a real database and a real CA: restarts, two edges, a revocation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from asgi_tunnel_edge.certificates.acme import (
    AcmeSettings,
    HttpTokens,
    IssuanceFailure,
    Issuer,
    IssuerClock,
    IssuerHooks,
    Solver,
)
from asgi_tunnel_edge.certificates.acme.jws import AccountKey
from asgi_tunnel_edge.certificates.acme.lease import LEASE
from asgi_tunnel_edge.storage.acme import AcmeStore

from .pebble import ChallengeDns, Pebble, newer

NAMES = ("*.shop.test", "shop.test")


class Edge:
    """What of an edge the issuer talks to."""

    def __init__(self, pebble: Pebble, store: AcmeStore, solvers: Sequence[Solver]) -> None:
        self.installed: list[bytes] = []
        self.failures: list[IssuanceFailure] = []
        self.later = 0.0
        self.issuer = Issuer(
            AcmeSettings(directory_url=pebble.directory, root=pebble.root, profile="default"),
            store,
            solvers,
            IssuerHooks(
                wanted=lambda: [NAMES],
                installed=lambda _names, chain_pem, _key: self.installed.append(chain_pem),
                failed=self.failures.append,
            ),
            clock=IssuerClock(now=self.now, sleep=self.sleep),
        )

    def now(self) -> float:
        """The machine's clock, moved."""
        return time.time() + self.later

    async def sleep(self, seconds: float) -> None:
        """Short, but for what renews the lease."""
        await asyncio.sleep(seconds if seconds == LEASE / 3 else 0.02)


@pytest.fixture
def store(tmp_path: Path) -> AcmeStore:
    """An empty database."""
    one = AcmeStore(tmp_path / "edge.sqlite3", tmp_path / "secrets.key")
    one.migrate()
    return one


async def test_restart_in_an_order(pebble: Pebble, store: AcmeStore) -> None:
    """An edge that ends while its proof is visible goes on with that order, and orders no other."""

    class Stop(ChallengeDns):
        reached = asyncio.Event()

        async def present(self, name: str, value: str) -> None:
            await super().present(name, value)
            self.reached.set()
            await asyncio.Event().wait()

    dns = Stop(pebble)
    first = Edge(pebble, store, [dns])
    step = asyncio.ensure_future(first.issuer.step())
    await dns.reached.wait()
    step.cancel()
    await asyncio.wait({step})
    state = store.load(pebble.directory)
    order = state.orders[NAMES]

    second = Edge(pebble, store, [ChallengeDns(pebble)])
    await second.issuer.step()
    assert (len(first.installed), len(second.installed)) == (0, 1)
    after = store.load(pebble.directory)
    assert after.orders == {}
    assert after.account is not None
    key = AccountKey.from_pem(after.account.key_pem)
    async with pebble.client(key, account_url=after.account.url) as client:
        assert (await client.order(order.url)).value.status == "valid"
    assert store.count_attempts(pebble.directory, since=0) == (1, 0)


async def test_two_edges(pebble: Pebble, store: AcmeStore) -> None:
    """Two edges on one database make one order; both use the certificate, as their next start."""
    dns = ChallengeDns(pebble)
    edges = [Edge(pebble, store, [dns]) for _ in range(2)]
    await asyncio.gather(*(edge.issuer.step() for edge in edges))
    await asyncio.gather(*(edge.issuer.step() for edge in edges))
    assert store.count_attempts(pebble.directory, since=0) == (1, 0)
    assert edges[0].installed == edges[1].installed
    later = Edge(pebble, store, [dns])
    await later.issuer.step()
    assert later.installed == edges[0].installed


@newer
async def test_renewed_after_a_revocation(pebble: Pebble, store: AcmeStore) -> None:
    """A certificate that its CA revoked is replaced at the next look at ARI, without the owner."""
    edge = Edge(pebble, store, [ChallengeDns(pebble)])
    await edge.issuer.step()
    state = store.load(pebble.directory)
    assert state.account is not None
    der = x509.load_pem_x509_certificate(edge.installed[0]).public_bytes(Encoding.DER)
    key = AccountKey.from_pem(state.account.key_pem)
    async with pebble.client(key, account_url=state.account.url) as client:
        await client.revoke(der, reason=1)
    edge.later = 7 * 3600  # ARI is asked every six hours
    await edge.issuer.step()
    assert len(edge.installed) == 2
    async with pebble.client(key, account_url=state.account.url) as client:
        cert_id = state.certificates[NAMES].ari_id
        payload_was_taken = await client.new_order(NAMES, profile="default", replaces=cert_id)
        assert payload_was_taken  # again: alreadyReplaced, so without it
    assert edge.failures == []


async def test_failure_is_reported(pebble: Pebble, store: AcmeStore) -> None:
    """A proof that nobody can make is heard of once, with what to do."""
    edge = Edge(pebble, store, [HttpTokens()])
    await edge.issuer.step()
    await edge.issuer.step()
    assert len(edge.failures) == 1
    assert "a wildcard needs DNS" in edge.failures[0].sentence
    assert edge.failures[0].retry_at > time.time()
