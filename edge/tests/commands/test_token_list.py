from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asgi_tunnel_edge.quotas import QUOTA_NAMES
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def fill(data: Path) -> None:
    """An active, an expired and a revoked token."""
    store = Store(EdgeConfig.load(data).database_path)
    for number, (name, expires_at) in enumerate([("one", None), ("two", 86400), ("six", None)]):
        store.create_token(
            TokenRecord(
                id=f"tok_{number}",
                name=name,
                secret_sha256=secret_digest(name),
                hostnames=(f"{name}.test", f"*.{name}.test"),
                created_at=60 * number,
                expires_at=expires_at,
            )
        )
    store.revoke_tokens(["six"], now=3600)
    store.limit_token("one", {"max_tunnels": 3})


def test_table(data: Path, run: Run) -> None:
    """A table with a line for each token, oldest first."""
    fill(data)
    done = run("token", "list", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "ID     NAME  HOSTNAMES             CREATED               EXPIRES               "
        "LAST USED  STATE    LIMITS\n"
        "tok_0  one   *.one.test, one.test  1970-01-01T00:00:00Z  never                 "
        "never      active   max_tunnels=3\n"
        "tok_1  two   *.two.test, two.test  1970-01-01T00:01:00Z  1970-01-02T00:00:00Z  "
        "never      expired  -\n"
        "tok_2  six   -                     1970-01-01T00:02:00Z  never                 "
        "never      revoked  -\n"
    )


def test_json(data: Path, run: Run) -> None:
    """A program gets a list with the same, in times it can read; no hash of a secret."""
    fill(data)
    tokens = json.loads(run("token", "list", "--data", data, "--json").out)
    assert [token["state"] for token in tokens] == ["active", "expired", "revoked"]
    assert tokens[1] == {
        "id": "tok_1",
        "name": "two",
        "hostnames": ["*.two.test", "two.test"],
        "end_to_end": [],
        "created_at": "1970-01-01T00:01:00Z",
        "expires_at": "1970-01-02T00:00:00Z",
        "revoked_at": None,
        "last_used_at": None,
        "old_secret_until": None,
        "state": "expired",
        "limits": dict.fromkeys(QUOTA_NAMES),
        "owner": "",
    }
    assert tokens[2]["revoked_at"] == "1970-01-01T01:00:00Z"


def test_no_tokens(data: Path, run: Run) -> None:
    """Somebody without tokens reads how to make one; a program gets an empty list."""
    assert "asgi-tunnel-edge token create shop" in run("token", "list", "--data", data).out
    assert run("token", "list", "--data", data, "--json").out == "[]\n"


def test_order_of_one_second(data: Path, run: Run) -> None:
    """Tokens of one second stand in the order in which they were made, each time."""
    store = Store(EdgeConfig.load(data).database_path)
    made = [f"tok_{letter}" for letter in "zmaqb"]
    for id_ in made:
        digest = secret_digest(id_)
        record = TokenRecord(id=id_, name=id_, secret_sha256=digest, hostnames=(), created_at=7)
        store.create_token(record)
    store.revoke_tokens(["tok_m"], now=8)
    found = json.loads(run("token", "list", "--data", data, "--json").out)
    assert [token["id"] for token in found] == made
