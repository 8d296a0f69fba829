"""A login with a provider through a real edge, with an app behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from edge.tests.live import SHOP, live_edge
from edge.tests.login.test_login import app
from tests.e2e.harness import NO_TLS

from asgi_tunnel_edge.access.doors import ACCESS_PATH
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.storage.access import AccessStore

from .evil import CLIENT, SECRET, EvilProvider

pytestmark = pytest.mark.anyio


class _Browser:
    """Asks an edge, and keeps its cookies."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self.cookies: dict[str, str] = {"other": "1"}

    async def get(self, url: str) -> httpx.Response:
        """Ask for a page."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        fields = {"host": SHOP, "accept": "text/html", "cookie": cookie}
        async with httpx.AsyncClient(base_url=self._base, verify=NO_TLS) as client:
            response = await client.get(url, headers=fields)
        for line in response.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response


async def test_a_login_from_the_door_to_the_app(tmp_path: Path) -> None:
    """The app gets the request without the edge's cookies, and no code is in the access log."""
    async with EvilProvider().serve() as provider:
        (tmp_path / "idp.secret").write_text(f"{SECRET}\n")
        settings: dict[str, Any] = {
            "access": {"family": {"domains": ["example.org"], "providers": ["idp"]}},
            "hostnames": {SHOP: {"access": "family"}},
            "oidc": {
                "idp": {
                    "issuer": provider.issuer,
                    "client_id": CLIENT,
                    "client_secret_file": "idp.secret",
                }
            },
            "access_log": {"path": "access.log"},
        }
        async with live_edge(tmp_path, app, **settings) as live:
            browser = _Browser(live.edge.address.port)
            door = await browser.get("/photos?page=2")
            page = await browser.get(door.headers["location"])
            assert "Continue with Idp" in page.text
            path = f"{ACCESS_PATH}oidc/start/idp?to=/photos%3Fpage%3D2"
            sent = await browser.get(path)
            query = dict(httpx.URL(sent.headers["location"]).params)
            assert query["redirect_uri"] == f"http://{SHOP}{ACCESS_PATH}oidc/callback/idp"
            code = provider.approve(query)
        # Its process is another one when the browser comes back.
        async with live_edge(tmp_path, app, token=live.token, **settings) as live:
            browser._base = f"http://127.0.0.1:{live.edge.address.port}"
            path = f"{ACCESS_PATH}oidc/callback/idp?code={code}&state={query['state']}"
            back = await browser.get(path)
            assert (back.status_code, back.headers["location"]) == (303, "/photos?page=2")
            seen = (await browser.get("/photos?page=2")).json()
            assert dict(seen["headers"])["cookie"] == "other=1"
            [session] = AccessStore(live.edge.config.database_path).sessions()
            assert (session.subject, session.name) == ("oidc:idp:1042", "zoe@example.org")
    log = (tmp_path / "access.log").read_text()
    assert f"{ACCESS_PATH}oidc" in log
    for secret in (code, query["state"], "callback/idp?"):
        assert secret not in log


async def test_an_edge_does_not_start_without_the_secret(tmp_path: Path) -> None:
    """It says which file is missing, and leaves nothing behind."""
    table = {"issuer": "https://a.test", "client_id": "a", "client_secret_file": "a.secret"}
    settings: dict[str, Any] = {"access": {"family": {"emails": ["*"]}}, "oidc": {"idp": table}}
    with pytest.raises(EdgeConfigError, match=r"oidc\.idp\.client_secret_file: .* cannot be read"):
        async with live_edge(tmp_path, **settings):
            pass
