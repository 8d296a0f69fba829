"""``token change`` and ``token create --owner``: whose a token is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Run

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def owned(data: Path, run: Run) -> Path:
    """Two users, and a token of anna's."""
    for name in ("anna", "ben"):
        assert run("user", "create", name, "--data", data).code == 0
    assert run("token", "create", "shop", "--owner", "anna", "--data", data).code == 0
    return data


def owner(data: Path, run: Run) -> str:
    """Whose it is."""
    found = json.loads(run("token", "show", "shop", "--data", data, "--json").out)["owner"]
    assert isinstance(found, str)
    return found


def test_it_is_shown_changed_and_kept(owned: Path, run: Run) -> None:
    """In the list, for one token, and over a rotation; nobody is an owner, too."""
    assert "OWNER" in run("token", "list", "--data", owned).out
    assert "  owner       anna\n" in run("token", "show", "shop", "--data", owned).out
    run("token", "rotate", "shop", "--data", owned)
    assert owner(owned, run) == "anna"
    done = run("token", "change", "shop", "--owner", "ben", "--data", owned)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(") belongs to ben.\n")
    assert owner(owned, run) == "ben"
    done = run("token", "change", "shop", "--owner", "", "--data", owned)
    assert "belongs to nobody but the operators" in done.out
    assert "OWNER" not in run("token", "list", "--data", owned).out


def test_an_owner_is_a_user(owned: Path, run: Run) -> None:
    """One sentence, and nothing is changed or made."""
    for words in (("change", "shop"), ("create", "other")):
        done = run("token", *words, "--owner", "zoe", "--data", owned)
        assert (done.code, done.out) == (2, "")
        assert '"zoe" is no user of this edge' in done.err
    assert owner(owned, run) == "anna"
    run("token", "revoke", "shop", "--data", owned)
    assert "was revoked" in run("token", "change", "shop", "--owner", "ben", "--data", owned).err


def test_who_owns_a_token_stays(owned: Path, run: Run) -> None:
    """Until it is somebody else's, or revoked."""
    run("token", "create", "blog", "--owner", "anna", "--data", owned)
    done = run("user", "rm", "anna", "--data", owned)
    assert done.code == 2
    assert done.err == (
        'error: "anna" owns the tokens blog, shop; give them to another with '
        "`asgi-tunnel-edge token change`, or revoke them\n"
    )
    run("token", "change", "blog", "--owner", "ben", "--data", owned)
    run("token", "revoke", "shop", "--data", owned)
    assert run("user", "rm", "anna", "--data", owned).code == 0


def test_a_copy_has_it(owned: Path, run: Run, tmp_path: Path) -> None:
    """A backup, and the database that is made from a running edge's snapshot."""
    file, other = tmp_path / "copy.zip", tmp_path / "other"
    assert run("backup", file, "--data", owned).code == 0
    assert run("restore", file, "--data", other).code == 0
    assert owner(other, run) == "anna"


def test_the_commands_of_the_pages(owned: Path, run: Run) -> None:
    """Each of docs/howto/owners.md and cli.md does what it says there, errors included."""
    settings = owned / "edge.toml"
    own = '[dashboard]\nhostname = "admin.example.org"\n'
    named = settings.read_text().replace("[dashboard]\n", own)
    settings.write_text(named)
    section = (DOCS / "reference/cli.md").read_text().partition("### `token change")[2]
    text = section.partition("### ")[0] + (DOCS / "howto/owners.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    assert len(lines) == 11
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("$ "):
            done = run(*shlex.split(line)[2:], "--data", owned)
            wanted = f"{after}\n" if after.startswith("error: ") else ""
            assert done.err == wanted, line
