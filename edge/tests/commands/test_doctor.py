"""``asgi-tunnel-edge doctor``: planted faults, each found under its own name."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edge.tests.certificates.dns.fakes import FakeDNS

from asgi_tunnel_edge.certificates.dns import lookup, records
from asgi_tunnel_edge.commands import doctor_folder, doctor_machine
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig

from .conftest import Run
from .test_prerequisites import ca

Found = dict[str, list[dict[str, str]]]


@dataclass
class Patient:
    """An edge's folder, with what a fault changes."""

    folder: Path
    run: Run
    patch: pytest.MonkeyPatch
    stack: contextlib.ExitStack

    def write(self, old: str, new: str) -> None:
        """Change its settings."""
        path = self.folder / "edge.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def examine(self, *words: str, offline: bool = True) -> tuple[int, Found]:
        """Run the doctor; the findings by the name of their check."""
        given = ["--offline"] if offline else []
        done = self.run("doctor", "--data", self.folder, "--json", *given, *words)
        document = json.loads(done.out)
        assert document["ok"] is (done.code == 0)
        found: Found = {}
        for one in document["findings"]:
            found.setdefault(one["check"], []).append(one)
        return done.code, found


@pytest.fixture
def patient(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    """A healthy edge with a certificate of its own, which does not run."""
    monkeypatch.setattr(doctor_machine, "_hard_limit", lambda: 65536)  # this machine's is its own
    data = tmp_path / "data"
    where = ("--domain", "a.test", "--listen", "127.0.0.1:0")
    assert run("init", "--data", data, *where).code == 0
    with contextlib.ExitStack() as stack:
        yield Patient(data, run, monkeypatch, stack)


def sign(folder: Path, *, days: float) -> None:
    """Put a certificate in place that ends in some days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=90))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls" / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls" / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def expired(one: Patient) -> None:
    """Expired."""
    sign(one.folder, days=-1)


def expires_soon(one: Patient) -> None:
    """Expires soon."""
    sign(one.folder, days=5)


def for_another_name(one: Patient) -> None:
    """For another name."""
    sign(one.folder, days=80)
    one.write('mode = "internal"', 'mode = "files"')
    one.write("# public_url =", "public_url = 'https://b.test' #")


def key_of_another_certificate(one: Patient) -> None:
    """Key of another certificate."""
    there = (one.folder / "tls" / "key.pem").read_bytes()
    sign(one.folder, days=80)
    (one.folder / "tls" / "key.pem").write_bytes(there)


def readable_key(one: Patient) -> None:
    """Readable key."""
    (one.folder / "tls" / "key.pem").chmod(0o644)


def writable_folder(one: Patient) -> None:
    """Writable folder."""
    (one.folder / "tls").chmod(0o777)


def revision(one: Patient, number: str) -> None:
    """Revision."""
    database = sqlite3.connect(one.folder / "edge.sqlite3")
    database.execute("UPDATE alembic_version SET version_num = ?", (number,))
    database.commit()
    database.close()


def broken_database(one: Patient) -> None:
    """Broken database."""
    (one.folder / "edge.sqlite3").write_bytes(b"hello" * 1000)


def missing_database(one: Patient) -> None:
    """Missing database."""
    (one.folder / "edge.sqlite3").unlink()


def full_disk(one: Patient) -> None:
    """Full disk."""
    one.patch.setattr(doctor_folder, "MIN_FREE", 1 << 60)


def little_room(one: Patient) -> None:
    """Little room."""
    one.patch.setattr(doctor_folder, "LOW_FREE", 1 << 60)


def few_files(one: Patient) -> None:
    """Few files."""
    one.patch.setattr(doctor_machine, "_hard_limit", lambda: 256)


def taken_port(one: Patient) -> None:
    """Taken port."""
    other = one.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    one.write('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{other.getsockname()[1]}"')


def wrong_setting(one: Patient) -> None:
    """Wrong setting."""
    one.write("# hsts = 0", "hsts = -1")


def other_version(one: Patient) -> None:
    """Other version."""
    one.patch.setattr(doctor_machine, "version", lambda name: "0.0.9")


FAULTS: dict[str, tuple[Callable[[Patient], object], str, str, str]] = {
    "expired certificate": (expired, "certificate", "problem", "expired on"),
    "certificate about to expire": (expires_soon, "certificate", "warning", "expires on"),
    "certificate for another name": (for_another_name, "certificate", "problem", "is not for"),
    "key of another certificate": (
        key_of_another_certificate,
        "certificate",
        "problem",
        "does not belong to the certificate",
    ),
    "key that others can read": (readable_key, "permissions", "problem", "mode 0644"),
    "folder that others can write": (writable_folder, "permissions", "problem", "written by"),
    "database of a newer version": (
        lambda one: revision(one, "9999"),
        "database",
        "problem",
        "is of revision 9999",
    ),
    "database of an older version": (
        lambda one: revision(one, "0001"),
        "database",
        "warning",
        "is of revision 0001",
    ),
    "broken database": (broken_database, "database", "problem", "is broken"),
    "missing database": (missing_database, "database", "problem", "there is no database"),
    "full disk": (full_disk, "disk", "problem", "MiB are free"),
    "little room on the disk": (little_room, "disk", "warning", "MiB are free"),
    "few open files": (few_files, "open-files", "warning", "256 files may be open"),
    "port of another program": (taken_port, "ports", "problem", "Address already in use"),
    "wrong setting": (wrong_setting, "configuration", "problem", "tls.hsts: expected"),
    "other version of asgi-tunnel": (other_version, "versions", "problem", "asgi-tunnel 0.0.9"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(patient: Patient, name: str) -> None:
    """Under its own name, with what to do; nothing else is found."""
    plant, check, state, said = FAULTS[name]
    plant(patient)
    code, found = patient.examine()
    bad = [one for each in found.values() for one in each if one["state"] in ("problem", "warning")]
    assert [(one["check"], one["state"]) for one in bad] == [(check, state)]
    assert said in bad[0]["what"]
    assert code == (1 if state == "problem" else 0)
    assert bad[0]["fix"]


def test_all_is_well(patient: Patient) -> None:
    """A line for each thing, and exit code 0; what was not looked at says so."""
    done = patient.run("doctor", "--data", patient.folder, "--offline")
    assert (done.code, done.err) == (0, "")
    lines = [line.split(maxsplit=2) for line in done.out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["ok", "versions"],
        ["ok", "configuration"],
        ["ok", "database"],
        ["ok", "permissions"],
        ["ok", "certificate"],
        ["ok", "doors"],
        ["ok", "disk"],
        ["ok", "open-files"],
        ["ok", "ports"],
        ["skipped", "dns"],
        ["skipped", "clock"],
    ]


def test_a_folder_that_is_none(tmp_path: Path, run: Run) -> None:
    """One problem, and how to make one."""
    done = run("doctor", "--data", tmp_path / "none")
    assert done.code == 1
    assert "make one with `asgi-tunnel-edge init" in done.out


@pytest.mark.parametrize(
    ("ahead", "state"), [(0, "ok"), (3600, "problem"), (-3600, "problem"), (None, "skipped")]
)
def test_the_clock(patient: Patient, tmp_path: Path, ahead: int | None, state: str) -> None:
    """It is compared with the CA's directory, by TLS; a CA that is away says nothing about it."""
    with ca(tmp_path / "ca", ahead=ahead or 0) as (url, root):
        directory = url if ahead is not None else "https://127.0.0.1:1/"
        patient.write("# directory =", f'directory = "{directory}"\nroot = "{root}"\n# directory =')
        code, found = patient.examine(offline=False)
    (clock,) = found["clock"]
    assert clock["state"] == state
    assert code == (1 if state == "problem" else 0)
    if ahead:
        assert " s behind " in clock["what"] if ahead > 0 else " s ahead of " in clock["what"]


@contextlib.contextmanager
def resolver(zones: dict[str, str]) -> Iterator[int]:
    """A DNS server on this machine, in a thread of its own; yields its port."""
    loop = asyncio.new_event_loop()
    ready, server = threading.Event(), FakeDNS(zones)

    def serve() -> None:
        loop.run_until_complete(
            loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
        )
        ready.set()
        loop.run_forever()
        server.transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    try:
        yield server.port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.mark.parametrize(
    ("zone", "state", "said"),
    [
        ("@ A 192.0.2.1\n* A 192.0.2.1", "ok", "a.test A is 192.0.2.1"),
        ("@ A 192.0.2.1", "problem", "*.a.test A is missing"),
        ("@ A 192.0.2.9\n* A 192.0.2.1", "problem", "a.test A is 192.0.2.9"),
    ],
)
def test_dns(patient: Patient, zone: str, state: str, said: str) -> None:
    """The domain and all names below it have to lead to this machine."""
    patient.write('listen = "127.0.0.1:0"', 'listen = "0.0.0.0:0"')
    patient.patch.setattr(
        "asgi_tunnel_edge.certificates.dns.addresses.public_addresses", lambda: ("192.0.2.1",)
    )
    patient.patch.setattr(doctor_machine, "clock_difference", lambda config: 0.0)
    with resolver({"a.test": zone}) as port:
        real = lookup.Lookup
        patient.patch.setattr(lookup, "Lookup", lambda: real([("127.0.0.1", port)]))
        code, found = patient.examine(offline=False)
    states = [one["state"] for one in found["dns"]]
    assert state in states
    assert ("problem" in states) == (state == "problem") == (code == 1)
    assert said in " ".join(one["what"] for one in found["dns"])
    assert records.PROBE not in str(found["dns"])


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Edge]:
    """The edge of a folder, in this event loop."""
    edge = Edge(EdgeConfig.load(folder))
    await edge.start()
    try:
        yield edge
    finally:
        await edge.stop()


async def test_a_running_edge(patient: Patient) -> None:
    """It replies on its own port, by TLS; where it does not, that is a problem."""
    config = EdgeConfig.load(patient.folder)
    patient.patch.setattr(doctor_machine, "has_running_edge", lambda folder: True)
    async with running(patient.folder) as edge:
        (found,) = await doctor_machine.check_ports(config)
        assert (found.state, str(edge.address) in found.what) == ("ok", True)
        edge.context.is_stopping = True
        (found,) = await doctor_machine.check_ports(config)
        assert (found.state, "503" in found.what) == ("problem", True)
    (found,) = await doctor_machine.check_ports(config)
    assert (found.state, "does not reply on 127.0.0.1:0" in found.what) == ("problem", True)


def test_it_gates_nothing(patient: Patient) -> None:
    """It writes nothing: the folder is as it was."""
    before = {path: path.stat().st_mtime_ns for path in patient.folder.rglob("*")}
    readable_key(patient)
    patient.examine()
    after = {path: path.stat().st_mtime_ns for path in patient.folder.rglob("*")}
    assert after == before
    assert os.access(patient.folder / "tls" / "key.pem", os.R_OK)


def test_providers_are_not_asked_offline(patient: Patient) -> None:
    """There is a line for each."""
    table = '[oidc.google]\nissuer = "https://accounts.google.com"\nclient_id = "photos"\n'
    path = patient.folder / "edge.toml"
    path.write_text(f"{path.read_text()}\n{table}")
    code, found = patient.examine()
    assert code == 0
    assert [one["state"] for one in found["providers"]] == ["skipped"]
