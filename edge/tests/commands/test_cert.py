from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.acme.records import CertificateRecord, FailureRecord
from asgi_tunnel_edge.certificates.internal import fingerprint
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.acme import AcmeStore

from .conftest import Run

NOW = int(time.time())
DAY = 86400


@pytest.fixture
def data(tmp_path: Path, run: Run) -> Path:
    """An edge with a valid, an expired and an unused certificate, and a name that fails."""
    folder = tmp_path / "data"
    options = ("--domain", "a.test", "--email", "me@a.test", "--dns", "none", "--no-check")
    assert run("init", "--data", folder, *options).code == 0
    for name in ("shop", "old", "late"):
        assert run("token", "create", name, "--data", folder).code == 0
    config, store = EdgeConfig.load(folder), store_of(folder)
    for names, not_after in (
        (("a.test",), NOW + 60 * DAY),
        (("old.a.test",), NOW - DAY),
        (("gone.test",), NOW + DAY),
    ):
        record = CertificateRecord(
            names=names,
            chain_pem=b"chain",
            key_pem=b"key",
            not_before=0,
            not_after=not_after,
            ari_id=None,
            profile=None,
            serial="7",
            issuer="CA 1",
            created_at=NOW,
            renew_at=NOW + DAY,
            ari_at=NOW,
        )
        store.save_certificate(config.acme.directory, record)
    store.save_failure(
        config.acme.directory,
        FailureRecord(
            names=("shop.a.test",),
            kind="dns",
            count=2,
            failed_at=NOW,
            retry_at=NOW + 600,
            reported_at=NOW,
            sentence="port 80 is closed; open it",
        ),
    )
    return folder


def store_of(folder: Path) -> AcmeStore:
    """The certificates of an edge."""
    config = EdgeConfig.load(folder)
    return AcmeStore(config.database_path, config.acme_key_path)


def test_list(data: Path, run: Run) -> None:
    """What there is, what is wanted, and why something fails."""
    done = run("cert", "list", "--json", "--data", data)
    assert (done.code, done.err) == (0, "")
    rows = {tuple(row["names"]): row for row in json.loads(done.out)}
    assert {names: row["state"] for names, row in rows.items()} == {
        ("a.test",): "valid",
        ("shop.a.test",): "failing",
        ("old.a.test",): "expired",
        ("late.a.test",): "wanted",
        ("gone.test",): "unused",
    }
    assert rows["shop.a.test",]["error"] == "port 80 is closed; open it"
    assert rows["a.test",]["issuer"] == "CA 1"
    assert rows["late.a.test",]["not_after"] is None
    table = run("cert", "list", "--data", data).out
    assert table.splitlines()[0].split() == ["NAMES", "ISSUER", "EXPIRES", "RENEWAL", "STATE"]
    assert "\nshop.a.test: port 80 is closed; open it\nnext try: " in table
    assert "No edge runs here, and so nothing is ordered; start it with " in table


def test_renew(data: Path, run: Run) -> None:
    """One that is there and one that fails are due now, and a running edge sees it."""
    store = Store(EdgeConfig.load(data).database_path)
    before = store.snapshot()
    done = run("cert", "renew", "a.test", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out == "a.test: the edge orders it now, or when it starts\n"
    done = run("cert", "renew", "shop.a.test", "--json", "--data", data)
    assert json.loads(done.out) == [["shop.a.test"]]
    state = store_of(data).load(EdgeConfig.load(data).acme.directory)
    assert state.certificates["a.test",].renew_at == 0
    assert state.certificates["gone.test",].renew_at == NOW + DAY
    assert state.failures["shop.a.test",].retry_at == 0
    after = store.snapshot()
    assert after.renewals == before.renewals + 2
    assert after.generation > before.generation
    assert len(json.loads(run("cert", "renew", "--json", "--data", data).out)) == 4


def test_the_edges_own(tmp_path: Path, run: Run) -> None:
    """The first time makes a next one ahead; each further time shows it and makes another."""
    folder = tmp_path / "x"
    run("init", "--data", folder, "--domain", "a.test")
    config = EdgeConfig.load(folder)
    done = run("cert", "renew", "--json", "--data", folder)
    first = json.loads(done.out)
    assert (done.code, first["changed"]) == (0, False)
    second = json.loads(run("cert", "renew", "--json", "--data", folder).out)
    assert (second["changed"], second["shown"]) == (True, first["next"])
    assert fingerprint(config.certificate_path.read_bytes()) == second["shown"]
    assert "is the one that was made ahead" in run("cert", "renew", "--data", folder).out
    done = run("cert", "renew", "shop.a.test", "--data", folder)
    assert (done.code, "leave the name out" in done.err) == (2, True)
    run("remake", "certificate", "--force", "--data", folder)
    assert "There was no next certificate" in run("cert", "renew", "--data", folder).out


def test_nothing_to_renew(data: Path, run: Run) -> None:
    """An unknown name gets a sentence."""
    done = run("cert", "renew", "nobody.test", "--data", data)
    assert done.code == 2
    assert 'there is no certificate for "nobody.test"' in done.err


@pytest.mark.parametrize("command", ["list", "renew"])
def test_without_a_ca(tmp_path: Path, run: Run, command: str) -> None:
    """An edge whose certificates come from elsewhere says so."""
    run("init", "--data", tmp_path / "x", "--domain", "a.test", "--tls", "off")
    done = run("cert", command, "--data", tmp_path / "x")
    assert done.code == 2
    assert "tls.mode" in done.err
