from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tunnel_edge.certificates.internal import fingerprint
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store, save_snapshot_file

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def test_certificate(tmp_path: Path, run: Run) -> None:
    """Where a certificate is lost, the command that makes it anew is named."""
    data = tmp_path / "data"
    run("init", "--data", data, "--domain", "a.test")
    run("token", "create", "shop", "--data", data)
    config = EdgeConfig.load(data)
    old = fingerprint(config.certificate_path.read_bytes())
    done = run("remake", "certificate", "--data", data)
    assert (done.code, "can be used, and every token names them" in done.err) == (2, True)
    config.certificate_path.unlink()
    done = run("token", "create", "blog", "--data", data)
    assert "asgi-tunnel-edge remake certificate" in done.err
    done = run("remake", "certificate", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert f"token create shop --data {data}" in done.out
    assert fingerprint(config.certificate_path.read_bytes()) != old
    assert run("token", "create", "blog", "--data", data).code == 0
    assert run("remake", "certificate", "--force", "--data", data).code == 0


def test_certificate_of_somebody_else(data: Path, run: Run) -> None:
    """Where the edge has no certificate of its own making, none is made."""
    done = run("remake", "certificate", "--data", data)
    assert (done.code, done.err.startswith("error: edge.toml: tls.mode: ")) == (2, True)


def test_database_without_a_snapshot(data: Path, run: Run) -> None:
    """A lost or broken database is made anew and empty, and the broken one is kept."""
    path = EdgeConfig.load(data).database_path
    done = run("remake", "database", "--data", data)
    assert (done.code, "can be read" in done.err) == (2, True)
    path.unlink()
    assert "asgi-tunnel-edge remake database" in run("token", "list", "--data", data).err
    assert "all tokens and bans are gone" in run("remake", "database", "--data", data).out
    assert run("token", "list", "--data", data, "--json").out == "[]\n"
    path.write_bytes(b"no database" * 1000)
    assert "asgi-tunnel-edge remake database" in run("token", "list", "--data", data).err
    assert "is kept as" in run("remake", "database", "--data", data).out
    assert run("token", "list", "--data", data, "--json").out == "[]\n"
    assert [one.read_bytes()[:2] for one in data.glob("edge.sqlite3.*Z")] == [b"no"]


def test_database_from_a_snapshot(data: Path, run: Run) -> None:
    """Tokens and bans come back from the snapshot, and changes count on from its number."""
    config = EdgeConfig.load(data)
    run("token", "create", "shop", "--data", data)
    run("token", "create", "gone", "--data", data)
    run("token", "revoke", "gone", "--data", data)
    run("ban", "add", "203.0.113.7", "--data", data)
    before = Store(config.database_path).snapshot()
    save_snapshot_file(before, config.snapshot_path)
    config.database_path.unlink()
    done = run("remake", "database", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert "with the 2 tokens and 1 bans" in done.out
    after = Store(config.database_path).snapshot()
    assert (after.tokens, after.bans) == (before.tokens, before.bans)
    assert after.generation > before.generation
