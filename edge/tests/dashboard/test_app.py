"""The dashboard as a whole: behind its door, with its pages, and one policy for all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edge.tests.dashboard.house import ADMIN, BLOG_ID, SHOP, house

from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    import pytest

PAGES = (
    "/",
    "/tunnels",
    "/tunnels/shop",
    "/hosts",
    "/hosts?span=months",
    "/certificates",
    "/logs",
    "/settings",
    "/audit",
)


async def test_an_operator_logs_in_and_sees_each_page(tmp_path: Path) -> None:
    """The door, the login and the pages are one way; nothing is shown before it."""
    async with house(tmp_path) as one:
        stranger = one.person()
        for path in PAGES:
            response = await stranger.get(path)
            assert response.status_code == 303
            assert response.headers["location"].startswith("/.well-known/asgi-tunnel/access/login")
        anna = await one.somebody("anna")
        for path in PAGES:
            response = await anna.get(path)
            assert response.status_code == 200, (path, response.text)
            assert "anna" in response.text
        assert "shop" in (await anna.get("/")).text
        assert "asgi-tunnel/" in (await anna.get("/tunnels/shop")).text  # what its side says it is


async def test_each_response_has_the_policy_without_exceptions(tmp_path: Path) -> None:
    """Nothing inline, nothing evaluated, nothing from elsewhere, and nobody frames it."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        style = re.search(r'href="(/static/style.css\?\w+)"', (await anna.get("/")).text)
        assert style
        shown = [*PAGES, "/nowhere", "/tunnels/shop/qr.svg", "/hosts/numbers", style[1]]
        for path in shown:
            response = await anna.get(path)
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "data:" not in policy
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["x-frame-options"] == "DENY"
            if response.headers["content-type"].startswith("text/html"):
                assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon[a-z]+=", response.text)


async def test_static_files_are_kept_under_their_version_only(tmp_path: Path) -> None:
    """What names no version, or another one, is asked for again; a folder above is none."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        found = re.search(r'href="(/static/style.css\?\w+)"', (await anna.get("/")).text)
        assert found
        assert "immutable" in (await anna.get(found[1])).headers["cache-control"]
        assert (await anna.get("/static/style.css")).headers["cache-control"] == "no-store"
        for path in ("/static/../app.py", "/static/vendor", "/static/%2e%2e/site.py"):
            assert (await anna.get(path)).status_code == 404


async def test_a_page_that_is_missing_or_wrong_says_so(tmp_path: Path) -> None:
    """In the layout for people, as JSON below /api/."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        response = await anna.get("/nowhere")
        assert response.status_code == 404
        assert "There is no such page" in response.text
        assert (await anna.bare_post("/tunnels")).status_code == 405
        response = await anna.get("/api/nowhere")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["title"]
        assert response.json()["title"] == "There is no such page"
        response = await anna.get("/tunnels/nobody")
        assert response.status_code == 404
        assert "There is no such tunnel" in response.text


async def test_a_defect_in_a_page_is_logged_and_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500, without what went wrong; other pages go on."""

    def fail(_: object) -> None:
        message = "a detail nobody should see"
        raise RuntimeError(message)

    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        monkeypatch.setattr("asgi_tunnel_edge.dashboard.pages.overview.problems_of", fail)
        response = await anna.get("/")
        assert response.status_code == 500
        assert "Something went wrong" in response.text
        assert "a detail" not in response.text
        assert "a detail" in caplog.text
        assert (await anna.get("/tunnels")).status_code == 200


async def test_signing_out_ends_it_everywhere(tmp_path: Path) -> None:
    """The login's own sessions: what the dashboard shows ends with them."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        assert (await anna.get("/")).status_code == 200
        form = {"everywhere": "1"}
        response = await anna.bare_post("/.well-known/asgi-tunnel/access/logout", form)
        assert response.status_code == 200
        assert (await anna.get("/")).status_code == 303


async def test_the_hostname_is_served_by_no_app(tmp_path: Path) -> None:
    """Also where a token has it, or a wildcard above it, from before the setting."""
    async with house(tmp_path) as one:
        store = Store(one.path)
        store.remove_hostnames([SHOP])
        store.add_hostnames("shop", [ADMIN, "*.example.test"])
        store.add_hostnames(BLOG_ID, [SHOP])
        await one.follow()
        response = await one.person().get("/")
        assert response.status_code == 303
        assert b"hello" in (await one.live.get("/", host="any.example.test")).body
