"""A thousand idle tunnels over TLS: what each costs the edge."""

from __future__ import annotations

import time
from pathlib import Path

from asgi_tunnel.token import Token
from asgi_tunnel_edge.certificates.internal import fingerprint
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, new_token_id, secret_digest
from benchmarks.drivers.launch import DriverError, driver
from benchmarks.model import Figure, Scale, Scene
from benchmarks.process import cpu_seconds, free_port, resident_bytes
from benchmarks.scenes import edge as own

TUNNELS = 1000

SECONDS = 20.0
"""Five heartbeats of each tunnel."""


def create_tokens(data: Path, port: int, count: int) -> list[str]:
    """Make tokens with a name and a hostname each, as ``token create`` does, in one process."""
    store = Store(data / "edge.sqlite3")
    pin = fingerprint((data / "tls" / "certificate.pem").read_bytes())
    texts = []
    for number in range(count):
        token = Token(
            edge=f"wss://127.0.0.1:{port}", id=new_token_id(), secret=new_secret(), pin=pin
        )
        store.create_token(
            TokenRecord(
                id=token.id,
                name=f"shop-{number}",
                secret_sha256=secret_digest(token.secret),
                hostnames=(f"shop-{number}.{own.DOMAIN}",),
                created_at=int(time.time()),
            )
        )
        texts.append(token.format())
    return texts


def run(folder: Path, scale: Scale) -> dict[str, dict[str, float]]:
    """Open the tunnels, then look at the edge for a while.

    Raises:
        DriverError: A tunnel was lost.
    """
    count = max(20, round(TUNNELS * scale.share))
    seconds = max(1.0, SECONDS * scale.share)
    port = free_port()
    data = own.init(folder, tls="internal", listen=f"127.0.0.1:{port}")
    tokens = folder / "tokens"
    tokens.write_text("\n".join(create_tokens(data, port, count)))
    with own.edge(data) as edge:
        empty = resident_bytes(edge.pid)
        opening = cpu_seconds(edge.pid)
        with driver("crowd", "--tokens", tokens, "--seconds", seconds) as crowd:
            opened = cpu_seconds(edge.pid)
            result = crowd.run()
            idle = cpu_seconds(edge.pid) - opened
            full = resident_bytes(edge.pid)
    if result["tunnels"] != count:
        raise DriverError(f"{count - result['tunnels']} of {count} idle tunnels were lost")
    return {
        "asgi-tunnel": {
            "edge_kib": (full - empty) / count / 1024,
            "edge_cpu": idle / seconds * 1e3,
            "app_cpu": result["driver_cpu"] / seconds * 1e3,
            "open_cpu_ms": (opened - opening) / count * 1e3,
        }
    }


SCENE = Scene(
    name="idle",
    title=f"{TUNNELS} idle tunnels over TLS on one edge, each with a token and a hostname",
    figures={
        "edge_kib": Figure("edge: resident memory of each", "KiB"),
        "edge_cpu": Figure("edge: CPU of all heartbeats", "ms/s"),
        "app_cpu": Figure("apps' side: CPU of all heartbeats", "ms/s"),
        "open_cpu_ms": Figure("edge: CPU to open one", "ms"),
    },
    run=run,
)
