"""Which names a real edge with a certificate from files serves, and on which connection."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, running_edge, wait_until

from asgi_tunnel_edge.certificates.internal import create_internal_certificate

NAME = "shop.example.test"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge whose certificate is for example.test and the names below it."""
    folder = tmp_path_factory.mktemp("names")
    create_internal_certificate("example.test", folder / "edge" / "tls")
    with running_edge(folder, tls="files") as running:
        yield running
        assert "Traceback" not in running.running.output


class Visitor(http.client.HTTPSConnection):
    """Dials an edge and asks for a server of its choice."""

    def __init__(self, edge: Edge, server_name: str | None) -> None:
        context = ssl.create_default_context(cafile=str(edge.folder / "tls" / "certificate.pem"))
        context.check_hostname = False
        super().__init__("127.0.0.1", edge.port, context=context, timeout=10)
        self._server_name = server_name
        self._trust = context

    def connect(self) -> None:
        """Open a connection with the server name as given, or with none."""
        plain = socket.create_connection((self.host, self.port), timeout=10)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self._server_name)


def ask(edge: Edge, server_name: str | None, host: str) -> int:
    """The status of a request; nobody serves these names, so that 404 is the good one."""
    visitor = Visitor(edge, server_name)
    try:
        visitor.request("GET", "/", headers={"Host": host})
        return visitor.getresponse().status
    finally:
        visitor.close()


def test_host_and_certificate_have_to_agree(edge: Edge) -> None:
    """421 for a host that the certificate of the connection is not for (RFC 9110 15.5.20)."""
    assert ask(edge, NAME, NAME) == 404
    assert ask(edge, NAME, "blog.example.test") == 404  # one certificate is for both
    assert ask(edge, NAME, "example.test:443") == 404
    assert ask(edge, NAME, "other.test") == 421
    assert ask(edge, NAME, "a.b.example.test") == 421
    assert ask(edge, NAME, "127.0.0.1") == 404
    assert ask(edge, None, "other.test") == 404  # it asked for nobody


def test_no_certificate_is_shown_for_another_name(edge: Edge) -> None:
    """An alert, and no certificate that a stranger could read the edge's names from."""
    for name in ("other.test", "a.b.example.test"):
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            ask(edge, name, name)


def test_a_renewed_certificate_is_shown_without_a_restart(edge: Edge, tmp_path: Path) -> None:
    """New connections get it once both files are there; an open one goes on."""
    visitor = Visitor(edge, NAME)
    visitor.request("GET", "/", headers={"Host": NAME})
    response = visitor.getresponse()
    assert (response.status, response.read() != b"") == (404, True)
    old = ssl.get_server_certificate(("127.0.0.1", edge.port))
    new = create_internal_certificate("example.test", tmp_path)
    shutil.copy(new.certificate, edge.folder / "tls" / "certificate.pem")
    shutil.copy(new.key, edge.folder / "tls" / "key.pem")
    wait_until(
        lambda: ssl.get_server_certificate(("127.0.0.1", edge.port)) != old,
        timeout=10,
        what="the new certificate is shown",
    )
    visitor.request("GET", "/", headers={"Host": NAME})
    assert visitor.getresponse().status == 404
    visitor.close()
    assert ask(edge, NAME, NAME) == 404
