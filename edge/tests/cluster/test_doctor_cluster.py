"""What ``doctor`` says of an edge of a cluster."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from edge.tests.cluster.commands import asked
from edge.tests.nats_server import MISSING, NatsServers, find_program

from asgi_tunnel_edge.cli import main
from asgi_tunnel_edge.commands.doctor_cluster import check_bus
from asgi_tunnel_edge.settings.config import EdgeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import MakeEdge


@pytest.fixture
def nats_servers() -> Iterator[NatsServers]:
    """One server, running."""
    if find_program() is None:
        pytest.skip(MISSING)
    servers = NatsServers()
    servers.start()
    yield servers
    servers.remove()


def doctor(folder: Path, *options: str) -> list[dict[str, Any]]:
    """What it finds of the cluster."""
    done = CliRunner().invoke(main, ["doctor", "--data", str(folder), "--json", *options])
    found = json.loads(done.stdout)["findings"]
    return [one for one in found if one["check"] in ("cluster", "bus")]


def test_an_edge_that_has_not_joined(make_edge: MakeEdge) -> None:
    """It does not start, and `doctor` says that before."""
    one = make_edge("a")
    found = doctor(one, "--offline")
    assert [(each["check"], each["state"]) for each in found] == [
        ("cluster", "problem"),
        ("bus", "skipped"),
    ]
    assert "cluster join" in json.dumps(found)


def test_edges(make_edge: MakeEdge) -> None:
    """It says where this one is, which others are not reached, and whether the bus lets it in."""
    one = make_edge("a")
    secret = asked("init", one)["secret"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    asked("join", make_edge("b", is_new=True, port=port), input=secret)
    found = doctor(one)
    assert [each["state"] for each in found] == ["ok", "warning", "ok"]
    assert f"edge b at 127.0.0.1:{port} cannot be reached" in json.dumps(found[1])
    file = one / "edge.toml"
    file.write_text(file.read_text().replace("127.0.0.1:9443", "127.0.0.1:9444"))
    found = doctor(one, "--offline")
    assert [each["state"] for each in found] == ["warning", "skipped", "skipped"]
    assert "edge a at 127.0.0.1:9444 is not on the list" in json.dumps(found[0])


def test_a_bus_that_does_not_answer(make_edge: MakeEdge, nats_servers: NatsServers) -> None:
    """One that is not there is a problem, whichever it is."""
    text = (make_edge("a") / "edge.toml").read_text()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    for url, is_there in (
        (nats_servers.url, True),
        (f"nats://127.0.0.1:{nobody}", False),
        (f"postgresql://edge@127.0.0.1:{nobody}/edge", False),
    ):
        lines = [line for line in text.splitlines() if not line.startswith("bus")]
        config = EdgeConfig.from_text("\n".join([f'bus = "{url}"', *lines]), Path("/nowhere"))
        found = asyncio.run(check_bus(config, offline=False))
        assert found.state == ("ok" if is_there else "problem")
