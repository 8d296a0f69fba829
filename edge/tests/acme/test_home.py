"""Certificates that an app gets itself: a real edge in between, and a real CA."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.e2e.harness import BIN, Process, Token, spawn, wait_until

from asgi_tunnel_edge.certificates.acme import AcmeState
from asgi_tunnel_edge.home.folder import FolderStorage

from .edges import PATIENCE, AcmeEdge, make_edge
from .pebble import BLOCKED, Pebble

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
SIZE = 64 * 1024 * 1024  # more than windows and buffers on the way hold


@dataclass
class Home:
    """What an app has: its token and its folder."""

    world: AcmeEdge
    token: Token
    folder: Path

    @property
    def name(self) -> str:
        """Its hostname."""
        return self.token.hostnames[0]

    @property
    def storage(self) -> FolderStorage:
        """What its processes keep."""
        return FolderStorage(self.folder)

    def state(self) -> AcmeState:
        """The content of that."""
        return self.storage.load(self.world.pebble.directory)

    def attempts(self) -> tuple[int, int]:
        """(orders begun, failures) so far."""
        return self.storage.count_attempts(self.world.pebble.directory, since=0)

    def start(self) -> Process:
        """Start a process of the app."""
        pebble = self.world.pebble
        env = {
            "ASGI_TUNNEL_TOKEN": self.token.token,
            "ASGI_TUNNEL_ACME_EMAIL": "me@example.test",
            "ASGI_TUNNEL_ACME_DIRECTORY": pebble.directory,
            "ASGI_TUNNEL_ACME_ROOT": str(pebble.root),
            "ASGI_TUNNEL_CERTIFICATES": str(self.folder),
            "SSL_CERT_FILE": str(self.world.root),  # of the edge, whose certificate is of the CA
        }
        app = "tests.e2e.apps_end_to_end:app"
        command = [str(BIN / "asgi-tunnel"), "run", app, "--app-dir", str(ROOT)]
        return spawn(command, self.folder.parent, env=env)

    @contextlib.contextmanager
    def running(self, count: int = 1) -> Iterator[list[Process]]:
        """Processes of the app, started at the same time; live when the block starts."""
        processes = [self.start() for _ in range(count)]
        try:
            for process in processes:
                process.wait_for("is live")
            yield processes
        finally:
            for process in processes:
                process.stop()


@pytest.fixture(scope="module")
def world(pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeEdge]:
    """One for all tests here, with a certificate of its own; each has a hostname of its own.

    The edge and the apps prove their names on the same port.
    """
    folder = tmp_path_factory.mktemp("home")
    one = make_edge(
        folder, pebble, "--no-check", "--dns", "none", settings='addresses = ["127.0.0.1"]'
    )
    # The apps dial an address, as no DNS leads to the edge, and check its certificate.
    one.set("domain =", f'public_url = "https://127.0.0.1:{pebble.tls_port}"\ndomain =')
    one.edge.start()
    try:
        one.wait_shown("127.0.0.1")
        one.wait_shown("example.test")
        yield one
    finally:
        one.edge.stop()


def make_home(world: AcmeEdge, name: str, *options: str) -> Home:
    """A token for an app that has nothing yet."""
    token = world.edge.create_token(name, "--end-to-end", *options)
    return Home(world, token, world.root.parent / name)


def test_two_processes_make_one_order(world: AcmeEdge) -> None:
    """The first page is trusted without a file made by hand; so is the one after a restart.

    The CA's connections come to either process, and both show what one has ordered. A hostname that
    is added while the app runs gets its own.
    """
    home = make_home(world, "home")
    with home.running(2) as processes:
        for process in processes:
            process.wait_for("the certificate for home.example.test is shown", timeout=PATIENCE)
        port = world.edge.port
        curl = [
            *("curl", "-sS", "-m", "50", "--cacert", str(world.root)),
            *("--resolve", f"{home.name}:{port}:127.0.0.1", f"https://{home.name}:{port}/"),
        ]
        assert subprocess.run(curl, capture_output=True, check=True).stdout == b"hello\n"
        account = home.state().account
        assert account is not None
        for process in processes:
            assert f"accounturi={account.url}; validationmethods=tls-alpn-01" in process.output
        before = world.shown(home.name)
        assert before is not None
    assert home.attempts() == (1, 0)
    assert list((home.folder / "proofs").iterdir()) == []
    with home.running() as (process,):
        assert world.shown(home.name) == before
        assert home.attempts() == (1, 0)
        later = "later.example.test"
        world.edge.command("host", "add", "home", later, "--end-to-end")
        process.wait_for(f"the certificate for {later} is shown", timeout=PATIENCE)
        assert world.shown(later) is not None
    assert home.attempts() == (2, 0)
    # The edge has ordered none for them.
    assert set(world.state().certificates) == {("127.0.0.1",), ("example.test",)}
    assert world.state().failures == {}


def test_renewal_while_a_download_runs(world: AcmeEdge) -> None:
    """It goes on with the certificate that it began with; new visitors get the new one."""
    home = make_home(world, "renewed")
    directory = world.pebble.directory
    with home.running() as (process,):
        process.wait_for("is shown", timeout=PATIENCE)
    record = home.state().certificates[home.name,]
    due = int(time.time()) + 7  # the app is live by then
    home.storage.save_certificate(directory, replace(record, renew_at=due))
    with home.running() as (process,), world.connect(home.name) as download:
        host = f"Host: {home.name}\r\nConnection: close"
        download.sendall(f"GET /size/{SIZE} HTTP/1.0\r\n{host}\r\n\r\n".encode())
        received = download.recv(1)
        before = world.shown(home.name)
        assert before is not None
        assert f"{before.serial_number:x}" == record.serial
        process.wait_for("is shown", count=2, timeout=PATIENCE)
        after = world.shown(home.name)
        assert after is not None
        assert after.serial_number != before.serial_number
        received += b"".join(iter(lambda: download.recv(65536), b""))
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith(bytes(1000) + b"hello\n")
        assert received.count(0) == SIZE
    assert home.attempts() == (2, 0)


def test_a_ca_that_refuses(world: AcmeEdge) -> None:
    """The log has its reason and what to do; the visitor an alert; the app goes on."""
    home = make_home(world, "refused", "--hostname", BLOCKED)
    with home.running() as (process,):
        process.wait_for(f"no new certificate for {BLOCKED}", timeout=PATIENCE)
        (line,) = [one for one in process.output.splitlines() if "no new certificate" in one]
        assert "the CA localhost does not issue for blocked.test (it says: " in line
        assert "use another CA; its visitors are refused until there is one" in line
        assert world.shown(home.name) is None
        wait_until(lambda: home.state().failures)
        assert process.is_alive()
    assert home.attempts() == (0, 1)
