from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


@pytest.fixture
def ids(data: Path, run: Run) -> dict[str, str]:
    """The ids of two tokens, by name."""
    return {
        name: json.loads(run("token", "create", name, "--data", data, "--json").out)["id"]
        for name in ("shop", "blog")
    }


def test_by_name_and_id(data: Path, run: Run, ids: dict[str, str]) -> None:
    """Several tokens at once, each by its name or its id."""
    done = run("token", "revoke", "shop", ids["blog"], "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"Token shop ({ids['shop']}) is revoked. Free again: shop.a.test\n"
        f"Token blog ({ids['blog']}) is revoked. Free again: blog.a.test\n"
    )
    again = run("token", "revoke", "shop", "--data", data)
    assert (again.code, again.out) == (0, f"Token shop ({ids['shop']}) was revoked before.\n")


def test_json(data: Path, run: Run, ids: dict[str, str]) -> None:
    """A program gets what was revoked, with the hostnames that are free again."""
    done = run("token", "revoke", "shop", "--data", data, "--json")
    assert json.loads(done.out) == {
        "revoked": [{"id": ids["shop"], "name": "shop", "hostnames": ["shop.a.test"]}]
    }


def test_unknown(data: Path, run: Run, ids: dict[str, str]) -> None:
    """When one is unknown, none is revoked."""
    done = run("token", "revoke", "shop", "nobody", "--data", data)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        'error: no token has the id or name "nobody"; '
        "see the tokens with `asgi-tunnel-edge token list`\n"
    )
    _, records = Store(EdgeConfig.load(data).database_path).read()
    assert len(records) == len(ids)
    assert not any(record.revoked for record in records)
