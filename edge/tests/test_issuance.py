from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from asgi_tunnel_edge.certificates.acme import AcmeState, CertificateRecord, IssuanceFailure
from asgi_tunnel_edge.certificates.acme.records import FailureRecord
from asgi_tunnel_edge.certificates.collection import CertificateCollection
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.issuance import (
    FALLBACK,
    Issuance,
    acme_settings,
    is_wildcard_missing,
    wanted_certificates,
)
from asgi_tunnel_edge.listeners.client_hello import ClientHello
from asgi_tunnel_edge.ports import Ports
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.acme import AcmeConfig
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import SnapshotWatcher, Store
from asgi_tunnel_edge.storage.acme import AcmeStore
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

WILDCARD: tuple[str, ...] = ("*.example.test", "example.test")
BASE: tuple[str, ...] = ("example.test",)
DAY = 86400


def config_of(folder: Path, **acme: object) -> EdgeConfig:
    """An edge for example.test whose CA is never there."""
    settings = AcmeConfig(directory="https://127.0.0.1:1/dir", **acme)  # type: ignore[arg-type]
    config = EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode="acme"),
        acme=settings,
    )
    (folder / "tls").mkdir()
    Store(config.database_path).migrate()
    return config


def snapshot_of(*hostnames: str, renewals: int = 0) -> Snapshot:
    """One token with these hostnames."""
    record = TokenRecord(id="t", name="t", secret_sha256="", hostnames=hostnames, created_at=0)
    return Snapshot.of(1, [record] if hostnames else [], renewals=renewals)


@pytest.mark.parametrize(
    ("dns", "hostnames", "wanted"),
    [
        ("none", [], [BASE]),
        ("none", ["shop.example.test"], [BASE, ("shop.example.test",)]),
        ("none", ["*.pre.example.test", "shop.test"], [BASE, ("shop.test",)]),
        ("zone", [], [WILDCARD]),
        ("zone", ["shop.example.test", "example.test"], [WILDCARD]),
        (
            "zone",
            ["shop.test", "a.b.example.test"],
            [WILDCARD, ("a.b.example.test",), ("shop.test",)],
        ),
        ("zone", ["a.b.example.test", "*.b.example.test"], [WILDCARD, ("*.b.example.test",)]),
    ],
)
def test_what_is_wanted(
    tmp_path: Path, dns: str, hostnames: list[str], wanted: list[tuple[str, ...]]
) -> None:
    """One certificate below the domain where a wildcard can be proved; else one for each name."""
    config = config_of(tmp_path, dns=dns)
    assert wanted_certificates(config, snapshot_of(*sorted(hostnames))) == wanted


def test_what_is_wanted_without_the_wildcard(tmp_path: Path) -> None:
    """It is tried on, and each name wants its own; addresses are in their one form."""
    config = config_of(tmp_path, dns="zone", addresses=("192.0.2.1", "2001:DB8:0::1"))
    found = wanted_certificates(config, snapshot_of("shop.example.test"), has_wildcard=False)
    addresses = [("192.0.2.1",), ("2001:db8::1",)]
    assert found == [WILDCARD, BASE, ("shop.example.test",), *addresses]


def test_settings_of_the_ca(tmp_path: Path) -> None:
    """A root file is found from anywhere."""
    config = config_of(tmp_path, email="me@example.test", root="tls/root.pem", profile="classic")
    settings = acme_settings(config)
    assert settings.contact == ("me@example.test",)
    assert settings.root == tmp_path / "tls/root.pem"
    assert settings.profile == "classic"


def record_of(not_after: float) -> CertificateRecord:
    """A wildcard's, as it is kept."""
    return CertificateRecord(
        names=WILDCARD,
        chain_pem=b"",
        key_pem=b"",
        not_before=0,
        not_after=int(not_after),
        ari_id=None,
        profile=None,
        serial="1",
        issuer="CA",
        created_at=0,
        renew_at=1,
        ari_at=1,
    )


def test_after_a_restart_it_is_known_that_the_wildcard_fails(tmp_path: Path) -> None:
    """Otherwise names would be without their certificates until the next report, for a day."""
    config, now = config_of(tmp_path, dns="zone"), time.time()
    failure = FailureRecord(
        names=WILDCARD, kind="dns", count=3, failed_at=1, retry_at=2, reported_at=1, sentence="no"
    )
    failing = {WILDCARD: failure}
    ending, lasting = ({WILDCARD: record_of(now + seconds)} for seconds in (DAY, FALLBACK + DAY))
    assert is_wildcard_missing(config, AcmeState(failures=failing))
    assert is_wildcard_missing(config, AcmeState(failures=failing, certificates=ending))
    assert not is_wildcard_missing(config, AcmeState(failures=failing, certificates=lasting))
    assert not is_wildcard_missing(config, AcmeState())


def failure_of(names: tuple[str, ...], not_after: float | None) -> IssuanceFailure:
    """What the issuer reports."""
    return IssuanceFailure(names=names, sentence="no", count=1, retry_at=0, not_after=not_after)


async def test_fallback_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wildcard that fails leaves each name to its own proof, DNS last; until there is one."""
    config = config_of(tmp_path, dns="hook", hook=("/bin/false",))
    certificates = CertificateCollection(config.domain)
    issuance = Issuance(config, certificates)
    issuance.follow(snapshot_of("shop.example.test"))
    await issuance.start()
    try:
        kinds = [solver.kind for solver in issuance._solvers]
        assert kinds == ["dns-01", "tls-alpn-01", "http-01"]
        issuance._report(failure_of(WILDCARD, time.time() + FALLBACK + DAY))
        issuance._report(failure_of(("other.test",), None))
        assert issuance._wanted == [WILDCARD]  # there is time
        assert issuance.failures == {WILDCARD: "no"}  # nobody wants the other one
        issuance._report(failure_of(WILDCARD, None))
        assert issuance._wanted == [WILDCARD, BASE, ("shop.example.test",)]
        kinds = [solver.kind for solver in issuance._solvers]
        assert kinds == ["tls-alpn-01", "http-01", "dns-01"]
        made = create_internal_certificate(config.domain, tmp_path / "made")
        with caplog.at_level(logging.INFO):
            issuance._install(WILDCARD, made.certificate.read_bytes(), made.key.read_bytes())
        assert issuance._wanted == [WILDCARD]
        assert issuance.failures == {}
        assert "the certificate for *.example.test, example.test is shown" in caplog.text
        assert certificates.find("shop.example.test") is not None
        issuance._install(BASE, b"nonsense", b"")
        assert "order it again" in caplog.text
    finally:
        await issuance.stop()


async def test_a_renewal_wakes_the_issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other names and renewals that are asked for do; a ban does not."""
    issuance = Issuance(config_of(tmp_path), CertificateCollection("example.test"))
    issuance.follow(snapshot_of("shop.test"))
    await issuance.start()
    woken: list[bool] = []
    assert issuance._issuer is not None
    monkeypatch.setattr(issuance._issuer, "wake", lambda: woken.append(True))
    try:
        issuance.follow(snapshot_of("shop.test"))
        assert woken == []
        issuance.follow(snapshot_of("shop.test", renewals=1))
        assert len(woken) == 1
        issuance.follow(snapshot_of("shop.test", "www.shop.test", renewals=1))
        assert len(woken) == 2
    finally:
        await issuance.stop()


async def test_an_edge_that_stops_orders_no_more_before_its_ports_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA that looks for a proof at closed ports ends the order: the next start has a failure."""
    config = config_of(tmp_path)
    edge = Edge(replace(config, limits=replace(config.limits, drain_timeout=0.1)))
    await edge.start()
    ordering = [one for one in asyncio.all_tasks() if one.get_name() == "certificates"]
    seen: list[bool] = []

    def close() -> None:
        seen.append(all(one.cancelling() for one in ordering))
        Ports.close(edge.ports)

    monkeypatch.setattr(edge.ports, "close", close)
    await edge.stop()
    assert len(ordering) == 1
    assert seen
    assert all(seen)
    assert ordering[0].done()


async def test_port_53_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The edge goes on, says why, and does not wait for the wildcard to fail."""
    config = config_of(tmp_path, dns="zone", dns_listen="192.0.2.77:53")
    issuance = Issuance(config, CertificateCollection("example.test"))
    issuance.follow(snapshot_of())
    await issuance.start()
    await issuance.stop()
    assert issuance._wanted == [WILDCARD, BASE]
    assert "no wildcard certificate can be ordered: " in caplog.text
    with pytest.raises(Exception, match=r"192\.0\.2\.77"):
        await issuance._solvers[-1].present("example.test", "x")


async def test_dns_proves_the_domain_alone(tmp_path: Path) -> None:
    """Custom hostnames have zones of their own: a proof there would only fail."""
    config = config_of(tmp_path, dns="hook", hook=("/bin/true",))
    issuance = Issuance(config, CertificateCollection("example.test"))
    issuance.follow(snapshot_of())
    await issuance.start()
    await issuance.stop()
    with pytest.raises(Exception, match=r"shop\.test is not below example\.test"):
        await issuance._solvers[0].present("shop.test", "x")


async def test_proofs_are_shown_to_the_ca_alone(tmp_path: Path) -> None:
    """Who offers acme-tls/1, and nothing else, for a name that is being proved."""
    issuance = Issuance(config_of(tmp_path), CertificateCollection("example.test"))
    solver = issuance._proofs
    thumbprint = "a" * 43
    await solver.present("shop.test", f"{'t' * 22}.{thumbprint}")

    def hello(name: str | None, *protocols: bytes) -> ClientHello:
        return ClientHello(server_name=name, protocols=protocols)

    assert issuance.proof(hello("shop.test", b"acme-tls/1")) is not None
    assert issuance.proof(hello("other.test", b"acme-tls/1")) is None
    assert issuance.proof(hello(None, b"acme-tls/1")) is None
    assert issuance.proof(hello("shop.test", b"acme-tls/1", b"http/1.1")) is None
    assert issuance.proof(hello("shop.test", b"http/1.1")) is None


def pair_of(folder: Path, name: str) -> tuple[bytes, bytes]:
    """A chain and its key."""
    made = create_internal_certificate(name, folder / name)
    return made.certificate.read_bytes(), made.key.read_bytes()


def kept_of(name: str, folder: Path, serial: str) -> CertificateRecord:
    """A certificate that a CA has issued for a name."""
    chain, key = pair_of(folder / serial, name)
    record = record_of(time.time() + 30 * DAY)
    return replace(
        record, names=(name,), chain_pem=chain, key_pem=key, serial=serial, renew_at=2**40,
        ari_at=2**40,
    )  # fmt: skip


async def test_without_its_server_the_copy_is_shown(
    postgres: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An edge that starts while its PostgreSQL is down shows what it has shown before."""
    config = replace(config_of(tmp_path), store=postgres.create())
    Store(config.database).migrate()
    storage = AcmeStore(config.database, config.acme_key_path)
    storage.save_certificate(config.acme.directory, kept_of("example.test", tmp_path, "1"))
    first = Issuance(config, CertificateCollection("example.test"))
    first.follow(snapshot_of())
    await first.start()
    await first.stop()
    postgres.stop()
    certificates = CertificateCollection("example.test")
    again = Issuance(config, certificates, orders=False)
    again.follow(snapshot_of())
    await again.start()
    await again.stop()
    assert certificates.find("example.test") is not None
    assert "with a copy of the certificates, without the database" in caplog.text
    config.certificate_copy_path.unlink()
    with pytest.raises(StorageError, match="cannot be reached"):
        await Issuance(config, CertificateCollection("example.test")).start()


async def test_what_one_edge_has_ordered_another_one_shows(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Within a second: it comes with the snapshot, to processes that do not order, too."""
    config = replace(config_of(tmp_path), store=postgres.create())
    Store(config.database).migrate()
    certificates = CertificateCollection("example.test")
    issuance = Issuance(config, certificates, orders=False)
    watcher = SnapshotWatcher(config.database, config.snapshot_path, issuance.follow)
    issuance.follow(await watcher.start())
    await issuance.start()
    try:
        assert certificates.find("example.test") is None
        storage = AcmeStore(config.database, config.acme_key_path)
        kept = kept_of("example.test", tmp_path, "1")
        await asyncio.to_thread(storage.save_certificate, config.acme.directory, kept)
        async with asyncio.timeout(10):
            while certificates.find("example.test") is None:  # noqa: ASYNC110 - of a thread
                await asyncio.sleep(0.005)
    finally:
        await issuance.stop()
        await watcher.stop()
