from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.watcher import SnapshotReader

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def use(data: Path, token_id: str, now: float) -> None:
    """What a running edge writes once a minute."""
    config = EdgeConfig.load(data)
    reader = SnapshotReader(config.database_path, config.snapshot_path)
    reader.load()
    reader.save_uses([token_id], now)
    reader.close()


def test_for_a_person(data: Path, run: Run) -> None:
    """One line for each thing; what the token does not have is left out."""
    run("token", "create", "shop", "--data", data, "--max-tunnels", 4)
    _, (record,) = Store(EdgeConfig.load(data).database_path).read()
    done = run("token", "show", "shop", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Token shop ({record.id})\n\n  state        active\n")
    assert "  hostnames    shop.a.test\n" in done.out
    assert "  last used    never\n" in done.out
    assert done.out.endswith("  max_tunnels  4\n")
    assert "revoked" not in done.out
    use(data, record.id, 1_800_000_000)
    run("token", "rotate", record.id, "--data", data)
    out = run("token", "show", record.id, "--data", data).out
    assert "  last used    2027-01-15T08:00:00Z\n" in out
    assert "  old secret   taken until 2" in out
    run("token", "revoke", "shop", "--data", data)
    out = run("token", "show", "shop", "--data", data).out
    assert "  state      revoked\n" in out or "  state        revoked\n" in out
    assert "old secret" not in out


def test_json(data: Path, run: Run) -> None:
    """What the list has of it, and its URLs; no hash of a secret."""
    run("token", "create", "shop", "--data", data)
    (listed,) = json.loads(run("token", "list", "--data", data, "--json").out)
    shown = json.loads(run("token", "show", "shop", "--data", data, "--json").out)
    assert shown == {**listed, "urls": ["http://shop.a.test:8080"]}
    assert "secret_sha256" not in shown


def test_without_a_port(data: Path, run: Run) -> None:
    """An edge whose port is chosen when it starts still shows its tokens."""
    path = data / "edge.toml"
    run("token", "create", "shop", "--data", data)
    path.write_text(path.read_text().replace("127.0.0.1:8080", "127.0.0.1:0"))
    shown = json.loads(run("token", "show", "shop", "--data", data, "--json").out)
    assert shown["urls"] is None


def test_an_unknown_token(data: Path, run: Run) -> None:
    """One sentence."""
    done = run("token", "show", "nobody", "--data", data)
    assert (done.code, done.out) == (2, "")
    assert 'no token has the id or name "nobody"' in done.err
