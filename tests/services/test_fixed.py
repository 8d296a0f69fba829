from __future__ import annotations

import pytest

from asgi_tunnel import Services
from asgi_tunnel.testing import LocalEdge, WebSocketDeniedError


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/old", "https://b.test/new"),
        ("/old/", "https://b.test/new"),
        ("/old/x/y?z=1", "https://b.test/new/x/y?z=1"),
        ("/old//evil.test", "https://b.test/new/evil.test"),
        ("/old/%0d%0aset-cookie:x", "https://b.test/new/%0d%0aset-cookie:x"),
        ("/home/a", "/a"),
        ("/home//evil.test/a", "/evil.test/a"),
        ("/home/\\evil.test", "/evil.test"),
        ("/one/x?y", "/two"),
    ],
)
async def test_a_redirect_keeps_what_is_behind_its_path(path: str, location: str) -> None:
    """And never leads to a host that the visitor chose."""
    services = Services(
        {
            "*/old": {"redirect": "https://b.test/new"},
            "*/home": {"redirect": "/", "status": 302},
            "*/one": {"redirect": "/two", "keep_path": False},
        }
    )
    async with LocalEdge(services) as edge:
        response = await edge.get(path)
        assert response.status == (302 if path.startswith("/home") else 308)
        assert response.headers.get("location") == location


async def test_a_fixed_response() -> None:
    """Its status and its text; a WebSocket is refused with the same."""
    async with LocalEdge(Services({"*": {"status": 410, "text": "gone"}})) as edge:
        response = await edge.get("/")
        assert (response.status, response.text) == (410, "gone\n")
        assert (await edge.request("HEAD", "/")).body == b""
        with pytest.raises(WebSocketDeniedError) as caught:
            async with edge.websocket("/"):
                pass
        assert caught.value.status == 410
