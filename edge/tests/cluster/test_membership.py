"""``cluster init``, ``join`` and ``status``: what an edge has after them, and who gets nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from edge.tests.cluster.commands import asked, cluster
from edge.tests.cluster.meeting import meet

from asgi_tunnel_edge.cluster.authority import NodeIdentity
from asgi_tunnel_edge.cluster.folder import identity_path, load_identity, save_identity
from asgi_tunnel_edge.cluster.tls import accepting_context
from asgi_tunnel_edge.commands.cluster_join import SECRET_VARIABLE
from asgi_tunnel_edge.errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from .conftest import MakeEdge


def refused(done: Result, code: int = 2) -> str:
    """The one sentence of a command that did nothing."""
    assert done.exit_code == code
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


async def test_two_edges(make_edge: MakeEdge) -> None:
    """The second one has what the first one has, and each proves to the other who it is."""
    from asgi_tunnel_edge.cluster.tls import dialing_context

    one = make_edge("a")
    secret = (await asyncio.to_thread(asked, "init", one))["secret"]
    other = make_edge("b", is_new=True, port=9444)
    found = await asyncio.to_thread(asked, "join", other, input=f"{secret}\n")
    assert found == {"node": "b"}
    for name in ("store.key", "certificate.pem", "key.pem"):
        assert (one / "tls" / name).read_bytes() == (other / "tls" / name).read_bytes()
        assert (other / "tls" / name).stat().st_mode & 0o777 == 0o600
    assert identity_path(other).stat().st_mode & 0o777 == 0o600
    first, second = load_identity(one), load_identity(other)
    assert first.authority == second.authority
    seen = await meet(dialing_context(first), accepting_context(second), means="b")
    assert seen == ("b", "a")


def test_for_a_person(make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command says what to do next; the secret may come from the environment, too."""
    one = make_edge("a")
    said = cluster("init", one).stdout
    secret = said.splitlines()[2].strip()
    assert len(secret) == 39
    assert "asgi-tunnel-edge cluster join" in said
    other = make_edge("b", is_new=True, port=9444)
    monkeypatch.setenv(SECRET_VARIABLE, secret.lower().replace("-", " "))
    assert "Edge b is in the cluster" in cluster("join", other).stdout
    said = cluster("status", one).stdout
    assert said.splitlines()[0].split() == ["EDGE", "ADDRESS", "JOINED", "STATE"]
    assert "a (this one)" in said
    assert "cannot be reached" in said


def test_another_secret(make_edge: MakeEdge) -> None:
    """A wrong secret, and one that is not the last, open nothing; those who have joined stay."""
    one = make_edge("a")
    old = asked("init", one)["secret"]
    before = load_identity(one).authority
    new = asked("init", one)["secret"]
    assert load_identity(one).authority == before
    other = make_edge("b", is_new=True, port=9444)
    for secret in (old, "", "é", "AAAA-AAAA"):
        said = refused(cluster("join", other, input=f"{secret}\n"))
        assert "is not the one that `cluster init` has printed last" in said
    assert not (other / "tls").exists()
    asked("join", other, input=new)


def test_a_new_authority(make_edge: MakeEdge) -> None:
    """It makes all certificates worthless; edges join again, in the same folder."""
    one = make_edge("a")
    secret = asked("init", one)["secret"]
    other = make_edge("b", is_new=True, port=9444)
    asked("join", other, input=secret)
    secret = asked("init", one, "--new-authority")["secret"]
    assert load_identity(one).authority != load_identity(other).authority
    asked("join", other, input=secret)
    assert load_identity(one).authority == load_identity(other).authority


def test_a_folder_with_secrets(make_edge: MakeEdge) -> None:
    """A folder whose own secrets would be lost does not join."""
    secret = asked("init", make_edge("a"))["secret"]
    other = make_edge("b", is_new=True, port=9444)
    (other / "tls").mkdir()
    (other / "tls/store.key").write_text("another\n")
    assert "has a key of its own" in refused(cluster("join", other, input=secret))
    assert (other / "tls/store.key").read_text() == "another\n"


def test_settings_that_were_copied(make_edge: MakeEdge) -> None:
    """The name and the address of an edge that has joined are not taken from it by a copy."""
    one = make_edge("a")
    secret = asked("init", one)["secret"]
    other = make_edge("b", is_new=True)
    assert "peer_listen: is 127.0.0.1:9443, where edge a is" in refused(
        cluster("join", other, input=secret)
    )
    file = other / "edge.toml"
    written = file.read_text()
    file.write_text(written.replace('node = "b"', 'node = "a"').replace(":9443", ":9444"))
    said = refused(cluster("join", other, input=secret))
    assert "node: is a, and that edge has joined, at 127.0.0.1:9443; choose another name" in said
    assert not (other / "tls").exists()
    file.write_text(written.replace(":9443", ":9444"))
    asked("join", other, input=secret)
    file.write_text(written.replace(":9443", ":9445"))
    asked("join", other, input=secret)  # it has moved
    found = asked("status", one)["edges"]
    assert [edge["peer_address"] for edge in found] == ["127.0.0.1:9443", "127.0.0.1:9445"]


def test_init_where_join_is_meant(make_edge: MakeEdge) -> None:
    """A second edge does not get a key of its own, with which it could not join any more."""
    one = make_edge("a")
    secret = asked("init", one)["secret"]
    other = make_edge("b", is_new=True, port=9444)
    assert "`asgi-tunnel-edge cluster join`" in refused(cluster("init", other))
    assert not (other / "tls").exists()
    asked("join", other, input=secret)


def test_a_start_before_it_joins(make_edge: MakeEdge) -> None:
    """An edge that has not joined says that, not which of its files is missing."""
    asked("init", make_edge("a"))
    other = make_edge("b", is_new=True, port=9444)
    done = subprocess.run(
        [sys.executable, "-m", "asgi_tunnel_edge", "run", "--data", str(other)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "run `asgi-tunnel-edge cluster join`" in done.stderr
    assert "remake" not in done.stderr


def test_no_cluster(make_edge: MakeEdge) -> None:
    """Without a bus there is none to make, and without `cluster init` none to join."""
    one = make_edge("a")
    assert "store: has no cluster yet" in refused(cluster("join", one, input="x"))
    assert "cluster init" in refused(cluster("status", one))
    file = one / "edge.toml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(one for one in lines if not one.startswith(("bus", "peer_listen"))))
    assert "bus: is not set" in refused(cluster("init", one))


async def test_status(make_edge: MakeEdge) -> None:
    """It says who proves who it is, who proves something else, and who is away."""
    one = make_edge("a")
    secret = (await asyncio.to_thread(asked, "init", one))["secret"]
    accepts = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=accepting_context(load_identity(one))
    )
    async with accepts:
        port = accepts.sockets[0].getsockname()[1]
        for name, at in (("b", port), ("c", 9444)):
            folder = make_edge(name, is_new=True, port=at)
            await asyncio.to_thread(asked, "join", folder, input=secret)
        # Edge a is not where its settings say; where b and c should be, is a.
        found = await asyncio.to_thread(asked, "status", one)
        assert [edge["name"] for edge in found["edges"]] == ["a", "b", "c"]
        assert "cannot be reached" in found["edges"][0]["error"]
        assert "shows another certificate (Hostname mismatch" in found["edges"][1]["error"]
        accepts.close()
        server = await asyncio.start_server(
            lambda _, writer: writer.close(),
            "127.0.0.1",
            port,
            ssl=accepting_context(load_identity(one.parent / "b")),
        )
        async with server:
            found = await asyncio.to_thread(asked, "status", one)
            assert found["edges"][1]["error"] is None
            assert found["edges"][1]["seconds"] < 3


def test_an_edge_that_is_no_more(make_edge: MakeEdge) -> None:
    """It is off the list; one that never joined cannot be taken off."""
    one = make_edge("a")
    secret = asked("init", one)["secret"]
    asked("join", make_edge("b", is_new=True, port=9444), input=secret)
    assert "no edge c has joined" in refused(cluster("rm", one, "c"))
    assert asked("rm", one, "b") == {"removed": "b"}
    assert [edge["name"] for edge in asked("status", one)["edges"]] == ["a"]
    asked("init", one)
    assert "is off the list" in cluster("rm", one, "a").stdout


def test_a_file_of_something_else(tmp_path: Path) -> None:
    """Where there is no certificate for other edges, it is said how to get one."""
    with pytest.raises(CertificateError, match="cluster join"):
        load_identity(tmp_path)
    save_identity(tmp_path, NodeIdentity(authority=b"x", certificate=b"y", key=b"z"))
    with pytest.raises(CertificateError, match="is not an edge's certificate"):
        load_identity(tmp_path)
