"""A hostname whose TLS the app speaks, visited at another node than its own."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from edge.tests.peers.app import MIB, App
from edge.tests.peers.world import HOME, nodes, until

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import EndToEndConfig, TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel_edge.certificates.internal import create_internal_certificate


async def test_end_to_end(tmp_path: Path) -> None:
    """Its bytes pass both nodes unread, both ways, and both ends of it."""
    home = create_internal_certificate(HOME, tmp_path / "home")
    trust = ssl.create_default_context(cafile=str(home.certificate))
    app = App()
    async with nodes(tmp_path, is_tls=True) as world:
        token = world[0].token
        settings = TunnelConfig(
            token=token,
            text=token.format(),
            end_to_end=EndToEndConfig(certificate=home.certificate, key=home.key),
            grace=2.0,
        )
        connector = world[0].connector = Connector(settings, Origin(app))
        connector.start()
        await connector.wait_connected()
        port = world[1].edge.address.port
        for path, size in (("/one", 4), (f"/size/{3 * MIB}", 3 * MIB)):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=trust, server_hostname=HOME
            )
            body = bytes(2 * MIB)
            head = f"POST {path} HTTP/1.1" if size == 4 else f"GET {path} HTTP/1.1"
            length = len(body) if size == 4 else 0
            writer.write(
                f"{head}\r\nHost: {HOME}\r\nContent-Length: {length}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            writer.write(body[:length])
            answer = await reader.read()
            fields, _, content = answer.partition(b"\r\n\r\n")
            assert fields.startswith(b"HTTP/1.1 200")
            if size == 4:
                assert content.split()[0] == str(length).encode()
            else:
                assert len(content) == size
            writer.close()
        assert world.peers(1).forwarding.sent == 2
        assert app.paths == ["/one", f"/size/{3 * MIB}"]
        peers = world.peers(0)
        await until(lambda: not any(one.in_flight for one in peers.listener.sessions))
