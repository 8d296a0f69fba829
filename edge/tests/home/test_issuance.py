"""Certificates that the app orders itself, without a CA: proofs, and what the log says."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from edge.tests.home.world import HOME, World, world

from asgi_tunnel.config import EndToEndConfig
from asgi_tunnel_edge.certificates.acme import ACME_TLS
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.home import issuance as home_issuance
from asgi_tunnel_edge.home.folder import FolderStorage
from asgi_tunnel_edge.home.issuance import HomeIssuance
from asgi_tunnel_edge.home.proofs import MAX_AGE, FolderProofs

if TYPE_CHECKING:
    import pytest

DIRECTORY = "https://127.0.0.1:1/dir"  # nothing listens there
PROOF = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def acme(folder: Path) -> EndToEndConfig:
    """Settings of an app that orders."""
    return EndToEndConfig(acme_email="me@example.test", acme_directory=DIRECTORY, folder=folder)


async def wait_until(condition: Callable[[], object]) -> None:
    """Return when it is true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - log records and threads tell nobody
            await asyncio.sleep(0.01)


async def shown(one: World, protocols: Sequence[str]) -> x509.Certificate | None:
    """What a client gets that offers these protocols; None: an alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    try:
        _, writer = await one.dial(HOME, context)
    except ssl.SSLError:
        return None
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der)


async def test_a_proof_is_for_the_ca_alone(tmp_path: Path) -> None:
    """Through a real edge, to an app that has no certificate, with a proof of another process.

    Who does not offer acme-tls/1, and nothing else, never gets it.
    """
    folder = tmp_path / "own"
    async with world(tmp_path, end_to_end=acme(folder)) as one:
        assert await shown(one, [ACME_TLS]) is None
        proofs = FolderProofs(folder)
        await proofs.present(HOME, "token.thumbprint")
        proof = await shown(one, [ACME_TLS])
        assert proof is not None
        assert proof.extensions.get_extension_for_oid(PROOF).critical
        for protocols in (["http/1.1"], ["http/1.1", ACME_TLS], [ACME_TLS, "h2"]):
            assert await shown(one, protocols) is None
        await proofs.clear(HOME, "token.thumbprint")
        assert await shown(one, [ACME_TLS]) is None


async def test_a_proof_that_was_left_behind(tmp_path: Path) -> None:
    """After a crash; it is shown no longer than an order lasts."""
    proofs = FolderProofs(tmp_path)
    await proofs.present(HOME, "token.thumbprint")
    (path,) = (tmp_path / "proofs").iterdir()
    assert await proofs.find(HOME) is not None
    old = path.stat().st_mtime - MAX_AGE - 1
    os.utime(path, (old, old))
    assert await proofs.find(HOME) is None


async def test_files_come_first(tmp_path: Path) -> None:
    """Where there are both nothing is ordered, and no folder made."""
    folder = tmp_path / "own"
    made = create_internal_certificate(HOME, tmp_path / "files")
    both = EndToEndConfig(
        certificate=made.certificate, key=made.key, acme_email="me@example.test", folder=folder
    )
    async with world(tmp_path, end_to_end=both) as one:
        assert await shown(one, ["http/1.1"]) is not None
    assert not folder.exists()


async def test_names_that_cannot_be_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wildcard, and what is no hostname, get a sentence each, once, and are not ordered."""
    issuance = HomeIssuance(acme(tmp_path), tmp_path)
    for _ in range(2):
        await issuance.expect(["*.example.test", "../../etc", "127.0.0.1"])
    issuance.stop()
    errors = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    assert len(errors) == 3
    assert "make the token for single hostnames" in errors[0]
    assert issuance._wanted == []


async def test_only_names_of_this_session(tmp_path: Path) -> None:
    """Of a name that the edge no longer names, a proof is no longer shown."""
    issuance = HomeIssuance(acme(tmp_path), tmp_path)
    await issuance.expect([HOME])
    await FolderProofs(tmp_path).present(HOME, "token.thumbprint")
    assert await issuance.find_proof(HOME) is not None
    await issuance.expect([])
    assert await issuance.find_proof(HOME) is None
    issuance.stop()


async def test_a_folder_that_cannot_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once, and what to set; visitors are refused."""
    file = tmp_path / "file"
    file.write_text("")
    issuance = HomeIssuance(acme(file), file)
    await issuance.expect([HOME])
    await issuance.expect([HOME])
    issuance.stop()
    (message,) = [one.getMessage() for one in caplog.records]
    assert "set ASGI_TUNNEL_CERTIFICATES to " in message
    assert "refused" in message
    assert not issuance.is_ready


async def test_a_tunnel_that_is_lost_while_the_folder_is_read(tmp_path: Path) -> None:
    """The next tunnel finds it open: nothing hangs on the one that began."""
    issuance = HomeIssuance(acme(tmp_path), tmp_path)
    first = asyncio.create_task(issuance.expect([HOME]))
    await asyncio.sleep(0)
    first.cancel()
    await issuance.expect([HOME])
    issuance.stop()
    assert issuance.is_ready
    assert first.cancelled()


async def test_a_ca_that_is_not_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason, what to do, and what it means for visitors, in one line.

    While another process of the app orders, this one does not.
    """
    monkeypatch.setattr(home_issuance, "BUSY", 0.05)
    other = FolderStorage(tmp_path)
    assert other.acquire_lease(DIRECTORY, "other", now=0, until=0)
    taken: list[bool] = []

    def acquire(self: FolderStorage, *given: Any, **named: Any) -> bool:
        taken.append(acquire_lease(self, *given, **named))
        return taken[-1]

    acquire_lease = FolderStorage.acquire_lease
    monkeypatch.setattr(FolderStorage, "acquire_lease", acquire)
    issuance = HomeIssuance(acme(tmp_path), tmp_path)
    with caplog.at_level(logging.ERROR):
        await issuance.expect([HOME])
        await wait_until(lambda: len(taken) == 2)
        assert (taken, caplog.records) == ([False, False], [])
        other.release_lease(DIRECTORY, "other")
        await wait_until(lambda: caplog.records)
    issuance.stop()
    (message,) = [one.getMessage() for one in caplog.records]
    assert message.startswith(f"no new certificate for {HOME}: the CA 127.0.0.1 gave no reply")
    assert "look whether this machine reaches it" in message
    assert "its visitors are refused until there is one" in message
    caplog.clear()
    again = HomeIssuance(acme(tmp_path), tmp_path)
    await again.expect([HOME])
    again.stop()
    (message,) = [one.getMessage() for one in caplog.records]
    assert message.startswith(f"the last order of a certificate for {HOME} failed: the CA 127.0.0")
