"""nginx in front of uvicorn: no tunnel, the usual reverse proxy on the same machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.model import Running, System
from benchmarks.process import free_port, running
from benchmarks.systems import certificate
from benchmarks.systems.peer import find, missing_of, version_of
from benchmarks.systems.uvicorn import serving

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 16384; }}
worker_rlimit_nofile 40000;
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    map $http_upgrade $connection_field {{ default upgrade; '' ''; }}
    upstream app {{
        server 127.0.0.1:{app};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{public} {more}backlog=4096;
{tls}        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_field;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""
_SETTINGS = (
    "one worker, no access log, 256 connections kept to uvicorn, bodies passed on while they come"
)


_TLS = """
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
"""


@contextmanager
def _start(folder: Path, *, is_tls: bool) -> Iterator[Running]:
    with serving(folder) as (app, app_port):
        public, file = free_port(), folder / "nginx.conf"
        name, root, tls = "nginx", None, ""
        if is_tls:
            name = TLS.name
            root, files = certificate.shared()
            tls = _TLS.format(certificate=files.certificate, key=files.key)
        more = "ssl " if is_tls else ""
        file.write_text(
            _CONFIGURATION.format(folder=folder, app=app_port, public=public, more=more, tls=tls)
        )
        command: list[str | Path] = [find("nginx"), "-e", folder / "nginx-error.log", "-c", file]
        with running("nginx", command, folder) as nginx:
            nginx.wait_for_app(public, root=root)
            processes = {"nginx": nginx.pid, "uvicorn": app.pid}
            yield Running(name, "127.0.0.1", public, processes, root)


SYSTEM = System(
    "nginx",
    partial(_start, is_tls=False),
    lambda: f"{version_of('nginx', '-v')}; {_SETTINGS}",
    missing_of("nginx"),
)
TLS = System(
    "nginx, TLS",
    partial(_start, is_tls=True),
    lambda: f"as nginx; TLS 1.2 and 1.3, {certificate.KIND}",
    missing_of("nginx"),
    is_tls=True,
)
