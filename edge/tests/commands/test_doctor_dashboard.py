"""What ``doctor`` and ``config check`` say of a dashboard, and what commands refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.commands.doctor_dashboard import check_dashboard
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord

if TYPE_CHECKING:
    from .conftest import Run

BASE = 'domain = "example.org"\nlisten = "127.0.0.1:8443"\n[tls]\nmode = "off"\n'
DASHBOARD = '[dashboard]\nhostname = "admin.example.org"\noperators = ["anna"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An edge's, with a dashboard, and no users yet."""
    (tmp_path / "edge.toml").write_text(BASE + DASHBOARD)
    Store(tmp_path / "edge.sqlite3").migrate()
    return tmp_path


def sentences(folder: Path, content: str = DASHBOARD) -> list[str]:
    """What ``doctor`` says of it."""
    config = EdgeConfig.from_text(BASE + content, folder)
    return [f"{one.state}: {one.what}" for one in check_dashboard(config)]


def take(folder: Path) -> None:
    """Let a token have the dashboard's hostname, as before it was set."""
    record = TokenRecord(
        id="tok_1",
        name="shop",
        secret_sha256="0" * 64,
        hostnames=("admin.example.org",),
        created_at=1,
    )
    Store(folder / "edge.sqlite3").create_token(record)


def test_who_operates_it(folder: Path) -> None:
    """Somebody has to, and has to be there."""
    assert sentences(folder, "") == []
    assert sentences(folder) == [
        "warning: [dashboard] operators names anna, and there is no such user",
        "warning: nobody may operate the dashboard",
    ]
    access = AccessStore(folder / "edge.sqlite3")
    access.create_user(UserRecord(name="anna", created_at=1))
    (only,) = sentences(folder)
    assert only == "ok: at admin.example.org, and somebody may operate it"
    groups = '[dashboard]\nlisten = "127.0.0.1:0"\noperator_groups = ["staff"]\n'
    assert sentences(folder, groups) == ["warning: nobody may operate the dashboard"]
    access.create_user(UserRecord(name="stan", groups=("staff",), created_at=1))
    assert sentences(folder, groups)[0].startswith("ok: ")


def test_a_hostname_that_a_token_has(folder: Path, run: Run) -> None:
    """Both say so, and which command gives it up."""
    take(folder)
    assert "which the token shop has" in sentences(folder)[0]
    result = run("config", "check", "--json", "--data", folder)
    errors = json.loads(result.out)["errors"]
    assert [one["setting"] for one in errors] == ["dashboard.hostname"]
    assert "host rm admin.example.org" in errors[0]["message"]


def test_no_token_gets_the_hostname(folder: Path, run: Run) -> None:
    """Neither a new one nor one that is there."""
    for command in (
        ("token", "create", "admin"),
        ("token", "create", "shop", "--hostname", "Admin.example.org"),
    ):
        result = run(*command, "--data", folder)
        assert result.code == 2
        assert "admin.example.org is the dashboard's hostname" in result.err
    assert run("token", "create", "shop", "--data", folder).code == 0
    result = run("host", "add", "shop", "admin.example.org", "--data", folder)
    assert result.code == 2
    assert "admin.example.org is the dashboard's hostname" in result.err
    assert run("token", "create", "all", "--hostname", "*.example.org", "--data", folder).code == 0


def test_commands_about_doors_know_it(folder: Path, run: Run) -> None:
    """A service token for it is made by name, and ``access`` shows and tries its door."""
    AccessStore(folder / "edge.sqlite3").create_user(UserRecord(name="anna", created_at=1))
    result = run("service-token", "create", "ci", "--access", "dashboard", "--data", folder)
    assert result.code == 0, result.err
    assert "admin.example.org" in result.out + result.err
    assert "dashboard" in run("access", "list", "--data", folder).out
    result = run("access", "test", "admin.example.org", "/", "--user", "anna", "--data", folder)
    assert "passes" in result.out + result.err, result.out + result.err
