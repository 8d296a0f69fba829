"""What happens to an app whose rules cannot be sent, or whose edge is too old for them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgi_tunnel import Tunnel, TunnelConfig, TunnelError, middleware, serve, share
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.policy import edge
from asgi_tunnel.token import Token

TOKEN = Token(edge="ws://127.0.0.1:9", id="tok_1", secret="s" * 43, pin=None).format()
TOO_MUCH = {f"/{number}": edge(rate="1/s") for number in range(129)}
SENTENCE = "policy has 129 rules, and 128 is the most"


class App:
    """Takes part in the lifespan, and notes how it ended."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Complete what is asked."""
        assert scope["type"] == "lifespan"
        while True:
            message = await receive()
            self.heard.append(message["type"])
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def start(tunnel: Tunnel) -> list[dict[str, Any]]:
    """Run a startup, and a shutdown if it was complete; return what the server hears."""
    said: list[dict[str, Any]] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(events)}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await tunnel({"type": "lifespan", "state": {}}, receive, send)
    return said


async def test_a_required_tunnel_does_not_start() -> None:
    """The server hears why."""
    tunnel = Tunnel(
        App(), token=TOKEN, policy=TOO_MUCH, enabled=True, required=True, outermost=True
    )
    said = await start(tunnel)
    assert [one["type"] for one in said] == ["lifespan.startup.failed"]
    assert SENTENCE in said[0]["message"]


async def test_another_one_is_served_locally(caplog: pytest.LogCaptureFixture) -> None:
    """Without a tunnel, which would let everything through; the log says why."""
    app = App()
    tunnel = Tunnel(app, token=TOKEN, policy=TOO_MUCH, enabled=True, outermost=True)
    with caplog.at_level(logging.ERROR, "asgi_tunnel"):
        said = await start(tunnel)
    assert [one["type"] for one in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert any(SENTENCE in line.message for line in caplog.records)
    assert tunnel._connector is None


async def test_runners_end_the_app_they_have_started() -> None:
    """Its shutdown runs, and the caller hears why."""
    app = App()
    with pytest.raises(TunnelError, match="the log says why"):
        await serve(Tunnel(app, policy=TOO_MUCH), token=TOKEN)
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]
    app = App()
    with pytest.raises(ConfigError, match=SENTENCE):
        await share(Tunnel(app, policy=TOO_MUCH), token=TOKEN)
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_table_below_something_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T114: its paths may be others for visitors, so no tunnel is opened."""

    async def outermost(scope: Any, receive: Any, send: Any) -> None: ...

    async def plain(scope: Any, receive: Any, send: Any) -> None: ...

    monkeypatch.setattr(middleware, "find_outermost", lambda: outermost)
    tunnel = Tunnel(plain, token=TOKEN, policy={"/a": edge(rate="1/s")}, enabled=True)
    with caplog.at_level(logging.ERROR, "asgi_tunnel"):
        await tunnel({"type": "http"}, None, None)
    assert any(
        "what is around the Tunnel may serve it below" in one.message for one in caplog.records
    )
    assert tunnel._connector is None


@pytest.mark.parametrize(
    ("text", "expected"), [("on", True), ("ON", True), ("off", False), ("", False)]
)
def test_the_switch_for_routes(text: str, expected: bool) -> None:
    """``ASGI_TUNNEL_ROUTES`` is on or off; anything else is an error."""
    config = TunnelConfig.from_env({"ASGI_TUNNEL_TOKEN": TOKEN, "ASGI_TUNNEL_ROUTES": text})
    assert config is not None
    assert config.sends_routes is expected
    with pytest.raises(ConfigError, match='ASGI_TUNNEL_ROUTES is neither "on" nor "off"'):
        TunnelConfig.from_env({"ASGI_TUNNEL_TOKEN": TOKEN, "ASGI_TUNNEL_ROUTES": f"{text}yes"})
