"""asgi-tunnel: an edge with its defaults, and the app under the runner or inside uvicorn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.drivers.launch import ROOT
from benchmarks.model import HTTPS_HOSTNAME, Running, System
from benchmarks.process import free_port
from benchmarks.scenes import edge as own
from benchmarks.systems import certificate, uvicorn

_MODULES = {
    "asgi-tunnel": "asgi_tunnel.session",
    "asgi-tunnel-edge": "asgi_tunnel_edge.exchange.http",
}
"""A module of each distribution that is compiled where anything is."""

_SOURCES = (ROOT / "src", ROOT / "edge" / "src")
"""Where plain Python is, for an environment that has it compiled."""

_SETTINGS = "both ends as installed; plain HTTP (--tls off) on loopback; access log on"


@contextmanager
def _runner(folder: Path, *, is_plain: bool = False) -> Iterator[Running]:
    data = own.init(folder)
    env = {"PYTHONPATH": os.pathsep.join(map(str, _SOURCES))} if is_plain else {}
    with (
        own.edge(data, env=env) as edge,
        own.app(folder, own.create_token(data), env=env) as app,
    ):
        port = own.port(data)
        edge.wait_for_app(port)
        name = (PLAIN if is_plain else RUNNER).name
        yield Running(name, "127.0.0.1", port, {"edge": edge.pid, "app": app.pid})


@contextmanager
def _middleware(folder: Path) -> Iterator[Running]:
    data = own.init(folder)
    with own.edge(data) as edge:
        env = {"ASGI_TUNNEL_TOKEN": own.create_token(data)}
        with uvicorn.serving(folder, "benchmarks.app_with_tunnel:app", env) as (app, _):
            port = own.port(data)
            app.wait_for_app(port)
            processes = {"edge": edge.pid, "uvicorn": app.pid}
            yield Running(MIDDLEWARE.name, "127.0.0.1", port, processes)


@contextmanager
def _services(folder: Path) -> Iterator[Running]:
    """The runner with a table of one line: uvicorn's port, as the peers have it."""
    data = own.init(folder)
    with uvicorn.serving(folder) as (behind, behind_port), own.edge(data) as edge:
        table = folder / "asgi-tunnel.toml"
        table.write_text(f'[[services]]\nhostname = "*"\nto = "http://127.0.0.1:{behind_port}"\n')
        with own.app(folder, own.create_token(data), "--services", str(table)) as app:
            port = own.port(data)
            edge.wait_for_app(port)
            processes = {"edge": edge.pid, "app": app.pid, "uvicorn": behind.pid}
            yield Running(SERVICES.name, "127.0.0.1", port, processes)


@contextmanager
def _tls(folder: Path, *, is_end_to_end: bool) -> Iterator[Running]:
    """An edge with the certificate in files; end to end, the app has it as well and speaks TLS."""
    root, files = certificate.shared()
    data = own.init(folder, tls="files", listen=f"127.0.0.1:{free_port()}")
    own.use_certificate(data, files)
    hostname = ["--hostname", HTTPS_HOSTNAME, *(["--end-to-end"] if is_end_to_end else [])]
    env = {"SSL_CERT_FILE": str(root)}
    if is_end_to_end:
        env |= {"ASGI_TUNNEL_CERTIFICATE": str(files.certificate)}
        env |= {"ASGI_TUNNEL_KEY": str(files.key)}
    with own.edge(data) as edge:
        token = own.create_token(data, *hostname)
        with own.app(folder, token, env=env) as app:
            port, name = own.port(data), (END_TO_END if is_end_to_end else TLS).name
            edge.wait_for_app(port, root=root)
            yield Running(name, "127.0.0.1", port, {"edge": edge.pid, "app": app.pid}, root)


def _not_plain() -> str:
    """Return why there is no plain Python beside what is measured anyway, or an empty string."""
    if _form(_MODULES["asgi-tunnel"]) == "plain Python":
        return "what is installed is plain Python already"
    return "" if all(one.is_dir() for one in _SOURCES) else "there are no sources"


def _versions() -> str:
    """Return what this interpreter has: the ends run with it."""
    return ", ".join(f"{one} {version(one)} ({_form(module)})" for one, module in _MODULES.items())


def _form(module: str) -> str:
    spec = find_spec(module)
    file = (spec and spec.origin) or ""
    return "compiled" if file.endswith(tuple(EXTENSION_SUFFIXES)) else "plain Python"


RUNNER = System("asgi-tunnel run", _runner, lambda: f"{_versions()}; {_SETTINGS}")
PLAIN = System(
    "asgi-tunnel run, plain",
    partial(_runner, is_plain=True),
    lambda: "as asgi-tunnel run, with nothing compiled: what a machine without a wheel gets",
    missing=_not_plain,
)
MIDDLEWARE = System(
    "asgi-tunnel in uvicorn",
    _middleware,
    lambda: f"{_versions()}; {_SETTINGS}; uvicorn as above, visitors through the tunnel",
)
SERVICES = System(
    "asgi-tunnel services",
    _services,
    lambda: "as asgi-tunnel run, with uvicorn on a local port behind its table of services",
)
TLS = System(
    "asgi-tunnel run, TLS",
    partial(_tls, is_end_to_end=False),
    lambda: f"as asgi-tunnel run, with --tls files: {certificate.KIND}; the tunnel over TLS, too",
    is_tls=True,
)
END_TO_END = System(
    "asgi-tunnel run, end to end",
    partial(_tls, is_end_to_end=True),
    lambda: "as asgi-tunnel run, TLS; visitors' TLS is spoken by the app, the edge passes it on",
    is_tls=True,
)
SYSTEMS = (RUNNER, PLAIN, MIDDLEWARE, SERVICES, TLS, END_TO_END)
