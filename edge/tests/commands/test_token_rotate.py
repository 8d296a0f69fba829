from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel.token import Token
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def answers(data: Path, *texts: str, later: float = 0) -> list[str]:
    """What an edge says to each of some tokens."""
    snapshot = Store(EdgeConfig.load(data).database_path).snapshot()
    found = [snapshot.authenticate_text(text, now=time.time() + later) for text in texts]
    return [one.code if isinstance(one, Refusal) else "taken" for one in found]


@pytest.fixture
def old(data: Path, run: Run) -> str:
    """The text of the token `shop`."""
    done = run("token", "create", "shop", "--data", data, "--json")
    return str(json.loads(done.out)["token"])


def test_json(data: Path, run: Run, old: str) -> None:
    """Both secrets are taken for a day; id, name and hostnames stay."""
    result = json.loads(run("token", "rotate", "shop", "--data", data, "--json").out)
    before, after = Token.parse(old), Token.parse(result["token"])
    assert (after.edge, after.id, result["name"]) == (before.edge, before.id, "shop")
    assert after.secret != before.secret
    assert answers(data, old, after.format()) == ["taken", "taken"]
    assert answers(data, old, after.format(), later=86_390) == ["taken", "taken"]
    assert answers(data, old, after.format(), later=86_401) == ["replaced", "taken"]


def test_for_a_person(data: Path, run: Run, old: str) -> None:
    """A line to paste, and until when the old one is taken."""
    done = run("token", "rotate", "shop", "--overlap", "30m", "--data", data)
    assert (done.code, done.err) == (0, "")
    match = re.search(r"(?m)^export ASGI_TUNNEL_TOKEN=(\S+)$", done.out)
    assert match is not None
    assert re.search(r"The old one is taken until 2\S+Z: give the app this one", done.out)
    assert answers(data, old, match[1], later=1801) == ["replaced", "taken"]


def test_at_once(data: Path, run: Run, old: str) -> None:
    """A secret that somebody else has seen ends without an overlap."""
    done = run("token", "rotate", "shop", "--overlap", "0", "--data", data)
    assert "The old one has ended" in done.out
    assert answers(data, old) == ["replaced"]


def test_no_more_than_two(data: Path, run: Run, old: str) -> None:
    """A second rotation ends the first secret, whatever its overlap was."""
    second = json.loads(run("token", "rotate", "shop", "--data", data, "--json").out)["token"]
    run("token", "rotate", "shop", "--data", data)
    assert answers(data, old, second) == ["unknown", "taken"]


@pytest.mark.parametrize("overlap", ["soon", "-1", "11y"])
def test_a_wrong_overlap(data: Path, run: Run, old: str, overlap: str) -> None:
    """One sentence, and nothing is changed."""
    done = run("token", "rotate", "shop", f"--overlap={overlap}", "--data", data)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --overlap: expected a time")
    assert answers(data, old) == ["taken"]


def test_a_revoked_token(data: Path, run: Run, old: str) -> None:
    """It gets no other secret."""
    run("token", "revoke", "shop", "--data", data)
    assert "was revoked" in run("token", "rotate", "shop", "--data", data).err
