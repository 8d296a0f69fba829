"""``asgi-tunnel-edge doctor`` and the providers of ``[oidc]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edge.tests.login.oidc.evil import CLIENT, DISCOVERY, EvilProvider

from asgi_tunnel.findings import Finding
from asgi_tunnel_edge.commands.doctor_providers import check_providers
from asgi_tunnel_edge.settings.config import EdgeConfig

pytestmark = pytest.mark.anyio


async def _look(folder: Path, issuer: str, *, offline: bool = False, **more: Any) -> Finding:
    table = {
        "domain": "example.test",
        "listen": "127.0.0.1:0",
        "oidc": {"idp": {"issuer": issuer, "client_id": CLIENT, **more}},
    }
    [found] = await check_providers(EdgeConfig.from_table(table, folder), offline=offline)
    return found


async def test_a_provider_that_is_set_up(tmp_path: Path) -> None:
    """It is reached, and has keys."""
    async with EvilProvider().serve() as provider:
        found = await _look(tmp_path, provider.issuer)
        assert (found.state, found.check) == ("ok", "providers")
        assert found.what == "idp is reached; keys that are taken: 1"


async def test_the_usual_mistakes(tmp_path: Path) -> None:
    """Another slash, no key, a file that is missing, and a provider that is away."""
    async with EvilProvider().serve() as provider:
        found = await _look(tmp_path, f"{provider.issuer}/")
        assert (found.state, found.why) == ("problem", "nobody can log in with it")
        assert f'it calls itself "{provider.issuer}"' in found.what
        provider.published = []
        assert "publishes no key" in (await _look(tmp_path, provider.issuer)).what
        provider.replies[DISCOVERY] = (404, "x: y", b"")
        assert "status 404" in (await _look(tmp_path, provider.issuer)).what
        found = await _look(tmp_path, provider.issuer, client_secret_file="missing")
        assert "cannot be read" in found.what
    found = await _look(tmp_path, provider.issuer)
    assert "could not be reached" in found.what
    found = await _look(tmp_path, provider.issuer, offline=True)
    assert found.state == "skipped"
