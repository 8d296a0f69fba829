from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run

NONE = dict.fromkeys(["max_tunnels", "max_pending", "max_memory", "max_visitors", "max_frames"])


@pytest.fixture
def shop(data: Path, run: Run) -> Path:
    """An edge with the token `shop`."""
    assert run("token", "create", "shop", "--data", data).code == 0
    return data


def test_json(shop: Path, run: Run) -> None:
    """What was given is kept, what was not stays, and `default` takes it back."""
    command = ("token", "limit", "shop", "--data", shop, "--json")
    done = run(*command, "--max-tunnels", 4, "--max-memory", "64MiB")
    assert (done.code, done.err) == (0, "")
    changed = json.loads(done.out)
    assert changed["name"] == "shop"
    assert changed["limits"] == {**NONE, "max_tunnels": 4, "max_memory": 64 * 2**20}
    again = json.loads(run(*command, "--max-tunnels", "default", "--max-frames", 500).out)
    assert again["limits"] == {**NONE, "max_memory": 64 * 2**20, "max_frames": 500}
    assert json.loads(run(*command).out) == again
    listed = json.loads(run("token", "list", "--data", shop, "--json").out)
    assert listed[0]["limits"] == again["limits"]


def test_for_a_person(shop: Path, run: Run) -> None:
    """All limits that hold for the token, and where each comes from; the list has its own."""
    done = run("token", "limit", "shop", "--data", shop, "--max-memory", "96MiB")
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()[3:]}
    assert rows["max_memory"] == ["96MiB", "this", "token"]
    assert rows["max_tunnels"] == ["256", "default"]
    assert run("token", "list", "--data", shop).out.rstrip().endswith("max_memory=96MiB")


def test_from_the_beginning(data: Path, run: Run) -> None:
    """`token create` takes the same options."""
    done = run("token", "create", "shop", "--data", data, "--json", "--max-visitors", 50)
    assert done.code == 0
    _, (record,) = Store(EdgeConfig.load(data).database_path).read()
    assert record.quotas.max_visitors == 50


@pytest.mark.parametrize("command", ["limit", "create"])
def test_bad_values(data: Path, run: Run, command: str) -> None:
    """One sentence, and nothing is changed."""
    if command == "limit":
        run("token", "create", "shop", "--data", data)
    before = Store(EdgeConfig.load(data).database_path).read()
    options = ("--max-tunnels", 3, "--max-memory", "lots")
    done = run("token", command, "shop", "--data", data, *options)
    assert done.code == 2
    assert done.err == (
        'error: --max-memory: expected a size of 1 MiB or more, got "lots"; '
        "write for example 64MiB, or default\n"
    )
    assert Store(EdgeConfig.load(data).database_path).read() == before


def test_more_than_there_is_for_all(shop: Path, run: Run) -> None:
    """A quota above what all tokens have together is kept, with a warning."""
    done = run("token", "limit", "shop", "--data", shop, "--max-memory", "1GiB")
    assert done.code == 0
    assert done.err.startswith("warning: max_memory is 1GiB, and max_buffered_bytes in edge.toml")


def test_a_revoked_token(shop: Path, run: Run) -> None:
    """It has no limits any more; an unknown one never had."""
    run("token", "revoke", "shop", "--data", shop)
    done = run("token", "limit", "shop", "--data", shop, "--max-tunnels", 1)
    assert done.code == 2
    assert "was revoked; make a new one" in done.err
    assert "no token has the id" in run("token", "limit", "nobody", "--data", shop).err
