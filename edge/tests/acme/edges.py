"""Real edges whose certificates come from pebble, and visitors that trust it and nobody else."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.message
import dns.rdatatype
import dns.rrset
from cryptography import x509
from tests.e2e.harness import BIN, Edge, Process, Token, spawn, wait_until

from asgi_tunnel_edge.certificates.acme.records import AcmeState, CertificateRecord
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.acme import AcmeStore

from .pebble import Pebble

PATIENCE: Final = 45.0  # seconds for a certificate, on a loaded machine


@dataclass
class AcmeEdge:
    """One edge with its CA."""

    edge: Edge
    pebble: Pebble
    root: Path  # PEM of the root that the CA issues by

    @property
    def store(self) -> AcmeStore:
        """Its database."""
        config = EdgeConfig.load(self.edge.folder)
        return AcmeStore(config.database, config.acme_key_path)

    def state(self) -> AcmeState:
        """What it has."""
        return self.store.load(self.pebble.directory)

    def attempts(self) -> tuple[int, int]:
        """(orders begun, failures) so far."""
        return self.store.count_attempts(self.pebble.directory, since=0)

    def trust(self) -> ssl.SSLContext:
        """A visitor's TLS."""
        return ssl.create_default_context(cafile=str(self.root))

    def connect(self, name: str, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A handshake with everything checked."""
        raw = socket.create_connection(("127.0.0.1", self.edge.port), timeout=20)
        try:
            return (context or self.trust()).wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise

    def shown(self, name: str) -> x509.Certificate | None:
        """The certificate that a visitor gets for a name; None while there is none."""
        try:
            with self.connect(name) as sock:
                der = sock.getpeercert(binary_form=True)
        except (ssl.SSLError, ConnectionError):
            return None
        assert der is not None
        return x509.load_der_x509_certificate(der)

    def wait_shown(
        self, name: str, *, other_than: x509.Certificate | None = None
    ) -> x509.Certificate:
        """Return the certificate for a name, once there is one, or a new one."""
        found: list[x509.Certificate] = []

        def look() -> bool:
            one = self.shown(name)
            if one is None or one == other_than:
                return False
            found.append(one)
            return True

        wait_until(look, timeout=PATIENCE, what=f"{name}\n{self.edge.running.output}")
        return found[0]

    def wait_kept(self, *names: str, serial: str = "") -> CertificateRecord:
        """Return what is kept for some names, once there is one with another serial number."""

        def find() -> CertificateRecord | None:
            one = self.state().certificates.get(names)
            return None if one is None or one.serial == serial else one

        wait_until(find, timeout=PATIENCE, what=f"{names}\n{self.edge.running.output}")
        found = find()
        assert found is not None
        return found

    def set(self, old: str, new: str) -> None:
        """Change ``edge.toml``."""
        path = self.edge.folder / "edge.toml"
        text = path.read_text()
        assert old in text, text
        path.write_text(text.replace(old, new, 1))


@contextlib.contextmanager
def acme_edge(
    folder: Path, pebble: Pebble, *options: str, settings: str = "", port: int | None = None
) -> Iterator[AcmeEdge]:
    """A running edge for example.test, set up by ``init`` as an owner does it.

    Args:
        folder: Gets the edge's own.
        pebble: The CA.
        options: More of ``init``.
        settings: Lines for its ``[acme]``.
        port: For TLS; where pebble looks, when left out.
    """
    one = make_edge(folder, pebble, *options, settings=settings, port=port)
    one.edge.start()
    try:
        yield one
    finally:
        one.edge.stop()


def make_edge(
    folder: Path, pebble: Pebble, *options: str, settings: str = "", port: int | None = None
) -> AcmeEdge:
    """The same, not started."""
    data = folder / "edge"
    command = [
        *(str(BIN / "asgi-tunnel-edge"), "init", "--data", str(data), "--domain", "example.test"),
        *("--email", "me@example.test", "--acme-directory", pebble.directory),
        *("--acme-root", str(pebble.root), "--http-listen", f"127.0.0.1:{pebble.http_port}"),
        *("--listen", f"127.0.0.1:{pebble.tls_port if port is None else port}", *options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    root = folder / "root.pem"
    root.write_bytes(pebble.manage("/roots/0"))
    one = AcmeEdge(Edge(data), pebble, root)
    if settings:
        one.set("[acme]\n", f"[acme]\n{settings}\n")
    return one


@contextlib.contextmanager
def app_behind(
    one: AcmeEdge, token: Token, app: str, folder: Path, *, app_dir: Path | None = None
) -> Iterator[Process]:
    """An app whose connector trusts the CA by the system's means; live when the block starts."""
    command = [str(BIN / "asgi-tunnel"), "run", app, "--app-dir", str(app_dir or folder)]
    env = {"ASGI_TUNNEL_TOKEN": token.token, "SSL_CERT_FILE": str(one.root)}
    process = spawn(command, folder, env=env)
    try:
        process.wait_for("is live")
        yield process
    finally:
        process.stop()


class Resolver:
    """A resolver that asks the edge about its delegated zone; all else leads to this machine.

    Over TCP, as pebble asks, and over UDP, as its older versions do; to the edge over UDP.

    Args:
        zone: The delegated one.
        edge_port: Where the edge answers DNS.
    """

    def __init__(self, zone: str, edge_port: int) -> None:
        self.asked: list[str] = []  # questions that went to the edge
        resolver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while size := self.rfile.read(2):
                    reply = resolver._reply(self.rfile.read(int.from_bytes(size)))
                    self.wfile.write(len(reply).to_bytes(2) + reply)

        class DatagramHandler(socketserver.DatagramRequestHandler):
            def handle(self) -> None:
                self.wfile.write(resolver._reply(self.rfile.read()))

        self._zone = zone
        self._edge_port = edge_port
        tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        port = int(tcp.server_address[1])
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", port), DatagramHandler)
        self._servers: list[socketserver.BaseServer] = [tcp, udp]
        self._threads = [
            threading.Thread(target=one.serve_forever, args=(0.05,)) for one in self._servers
        ]
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> Resolver:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join(10)

    def _reply(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if name == self._zone or name.endswith(f".{self._zone}"):
            self.asked.append(name)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.sendto(data, ("127.0.0.1", self._edge_port))
                return sock.recv(4096)
        answer = dns.message.make_response(query)
        if question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 1, "IN", "A", "127.0.0.1"))
        return answer.to_wire()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
