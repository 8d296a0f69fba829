"""Caddy in front of uvicorn: no tunnel, a reverse proxy whose business is TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.model import HTTPS_HOSTNAME, Running, System
from benchmarks.process import free_port, running
from benchmarks.systems import certificate
from benchmarks.systems.peer import find, missing_of, version_of
from benchmarks.systems.uvicorn import serving

_CONFIGURATION = """
{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
    servers {{
        protocols h1
    }}
}}
https://{name}:{public} {{
    bind 127.0.0.1
    tls {certificate} {key}
    reverse_proxy 127.0.0.1:{app} {{
        flush_interval -1
        transport http {{
            keepalive_idle_conns_per_host 256
        }}
    }}
}}
"""
_SETTINGS = (
    "HTTP/1.1 only, no access log, 256 connections kept to uvicorn, bodies passed on while they"
    " come; TLS 1.2 and 1.3"
)


@contextmanager
def _start(folder: Path) -> Iterator[Running]:
    root, files = certificate.shared()
    with serving(folder) as (app, app_port):
        public, file = free_port(), folder / "Caddyfile"
        file.write_text(
            _CONFIGURATION.format(
                name=HTTPS_HOSTNAME,
                public=public,
                certificate=files.certificate,
                key=files.key,
                app=app_port,
            )
        )
        command: list[str | Path] = [find("caddy"), "run", "--config", file]
        command += ["--adapter", "caddyfile"]
        env = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with running("caddy", command, folder, env=env) as caddy:
            caddy.wait_for_app(public, root=root)
            processes = {"caddy": caddy.pid, "uvicorn": app.pid}
            yield Running(TLS.name, "127.0.0.1", public, processes, root)


TLS = System(
    "Caddy, TLS",
    _start,
    lambda: f"Caddy {version_of('caddy', 'version')}; {_SETTINGS}, {certificate.KIND}",
    missing_of("caddy"),
    is_tls=True,
)
