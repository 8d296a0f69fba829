"""Rules with ``access``, in front of which there is a real door: no spelling gets past one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e.harness import running_app, running_edge, wait_until

from .test_e2e import GUARDS, HANDSHAKE, SPELLINGS, STARLETTE, World

pytestmark = pytest.mark.e2e

SETTINGS = """
[access.family]
users = ["anna"]
methods = ["password", "token"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge that knows the family, and an app that asks for it on some paths."""
    folder = tmp_path_factory.mktemp("doors")
    (folder / "starlette_app.py").write_text(STARLETTE)
    with running_edge(folder, guards=GUARDS, settings=SETTINGS) as edge:
        token = edge.create_token("shop")
        with running_app(folder, token, "starlette_app:app") as process:
            yield World(edge, token, process)
        assert "Traceback" not in edge.running.output


def test_no_spelling_gets_past_a_door(world: World) -> None:
    """T110: without a login no request to any of them reaches the app, by any method."""
    passed = []
    for path in [*SPELLINGS, "/admin/users/anna", "/admin/users/%2e", "/ADMIN/users/x?public"]:
        for method, fields in (("GET", {}), ("HEAD", {}), ("GET", HANDSHAKE)):
            status, reason, _ = world.ask(path, method=method, headers=dict(fields))
            if (status, reason) != (401, "login-required"):
                passed.append((path, method, status, reason))
    assert passed == []
    assert world.ask("/public")[2] == "app"
    assert "edge.toml has no [access" not in world.app.output


def test_who_may_comes_in(world: World) -> None:
    """A service token passes, in each spelling that the app serves."""
    made = json.loads(
        world.edge.command("service-token", "create", "script", "--access", "family", "--json")
    )
    fields = {"Asgi-Tunnel-Token-Id": made["id"], "Asgi-Tunnel-Token-Secret": made["secret"]}
    wait_until(
        lambda: world.ask("/admin", headers=fields)[2] == "the admin page",
        what="the edge knows the service token",
    )
    assert world.ask("/%61dmin", headers=fields)[2] == "the admin page"
    assert world.ask("/login", method="POST", headers=fields, address="127.0.0.30")[0] == 200
