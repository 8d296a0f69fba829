"""Channels: HTTP to Django, WebSockets to a consumer; ``served`` is wrapped in ``Tunnel``."""

from __future__ import annotations

import json

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from asgi_tunnel import Tunnel

from . import common, django_app


class Talk(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Says who came, then echoes; "close" closes with a code of the app's."""

    async def connect(self) -> None:
        """Accept with the first subprotocol offered."""
        await self.accept(subprotocol=next(iter(self.scope["subprotocols"]), None))
        # Daphne gives a WebSocket no scheme; the tunnel does.
        about = {"client": self.scope["client"][0], "scheme": self.scope.get("scheme")}
        await self.send(text_data=json.dumps(about))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer a message."""
        if text_data == "close":
            await self.close(code=4001, reason="asked for")
        else:
            await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        """Note how it ended."""
        common.say(f"left {code}")


app = ProtocolTypeRouter(
    {"http": django_app.app, "websocket": URLRouter([path("ws", Talk.as_asgi())])}
)
served = Tunnel(app)
