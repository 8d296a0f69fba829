"""The dashboard as a whole: behind its door, with its pages, and one policy for all of them."""

from __future__ import annotations

from pathlib import Path

from edge.tests.dashboard.house import house


async def test_an_operator_logs_in_and_sees_the_first_page(tmp_path: Path) -> None:
    """The door, the login and the page are one way; nothing is shown before it."""
    async with house(tmp_path) as one:
        stranger = one.person()
        response = await stranger.get("/")
        assert response.status_code == 303
        assert response.headers["location"].startswith("/.well-known/asgi-tunnel/access/login")
        anna = await one.somebody("anna")
        response = await anna.get("/")
        assert response.status_code == 200, response.text
        assert "Tunnels online" in response.text
        assert "shop" in response.text
