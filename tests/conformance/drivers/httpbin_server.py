"""pytest-httpbin's servers behind edges: requests talks to httpbin through a tunnel."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar
from urllib.parse import urljoin

from a2wsgi import WSGIMiddleware

from .front import Front
from .world import Visit, edges, world


class Server:
    """In the place of ``pytest_httpbin.serve.Server``: a front instead of a server.

    Args:
        application: A WSGI app.
    """

    protocol: ClassVar = "http"
    host: ClassVar = "localhost"

    def __init__(self, application: Any) -> None:
        self._app: Any = WSGIMiddleware(application)
        gate = world().gate(self.protocol)
        self._front = Front(gate.port, lambda port: gate.register(port, Visit(self._app)))

    def __enter__(self) -> Server:
        world().portal.call(self._front.start)
        return self

    def __exit__(self, *args: object) -> None:
        world().portal.call(self._front.stop)

    def __add__(self, other: str) -> str:
        return self.url + other

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._front.port

    @property
    def url(self) -> str:
        """What a test asks."""
        return f"{self.protocol}://{self.host}:{self.port}"

    def join(self, url: str, allow_fragments: bool = True) -> str:
        """Resolve a relative URL."""
        return urljoin(self.url, url, allow_fragments=allow_fragments)


class SecureServer(Server):
    """With TLS, which ends in the edge."""

    protocol: ClassVar = "https"


def pytest_configure() -> None:
    """Replace both servers, and what says whom to trust."""
    serve: Any = importlib.import_module("pytest_httpbin.serve")
    serve.Server, serve.SecureServer = Server, SecureServer
    certs: Any = importlib.import_module("pytest_httpbin.certs")
    certs.where = lambda: edges()["https"].certificate
