"""``store move`` and what the other commands do with a PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.running import marked_as_running
from asgi_tunnel_edge.storage import Store

from .conftest import Run
from .test_schemas import check

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer


@pytest.fixture
def shop(data: Path, run: Run) -> Path:
    """An edge with a token."""
    assert run("token", "create", "shop", "--data", data).code == 0
    return data


def point(data: Path, url: str | None) -> None:
    """Write into ``edge.toml`` where the store is."""
    file = data / "edge.toml"
    lines = [one for one in file.read_text().splitlines() if not one.startswith("store = ")]
    file.write_text("\n".join([*([] if url is None else [f'store = "{url}"']), *lines]) + "\n")


def names(run: Run, data: Path) -> list[str]:
    """The tokens that commands see."""
    return [one["name"] for one in json.loads(run("token", "list", "--json", "--data", data).out)]


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An empty database."""
    return postgres.create()


def test_there_and_back(shop: Path, run: Run, url: str) -> None:
    """Every command uses the new place once the settings say so; the old one stays."""
    done = run("store", "move", "--to", url, "--data", shop)
    assert done.code == 0
    assert f'store = "{url}"' in done.out
    point(shop, url)
    assert names(run, shop) == ["shop"]
    run("token", "create", "blog", "--data", shop)
    assert names(run, shop) == ["shop", "blog"]
    point(shop, None)
    assert names(run, shop) == ["shop"]
    (shop / "edge.sqlite3").rename(shop / "old.sqlite3")
    point(shop, url)
    done = run("store", "move", "--to", shop / "edge.sqlite3", "--json", "--data", shop)
    assert check("store-move", done.out)["rows"]["tokens"] == 2
    point(shop, None)
    assert names(run, shop) == ["shop", "blog"]


def test_what_is_refused(shop: Path, run: Run, url: str) -> None:
    """Each in one sentence, and nothing is changed."""
    password = url.replace("tunnel@", "tunnel:secret@")
    for words, sentence in (
        (("--to", "mysql://a/b"), "is no place for a store"),
        (("--to", password), "has a password in it"),
        (("--to", "postgresql://a.test/"), "names no database"),
        (("--to", shop / "edge.sqlite3"), "is where the store is"),
        (("--to", "/nowhere/edge.sqlite3"), "there is no folder /nowhere"),
    ):
        done = run("store", "move", *words, "--data", shop)
        assert done.code == 2
        assert sentence in done.err
    with marked_as_running(shop):
        assert "an edge is running" in run("store", "move", "--to", url, "--data", shop).err
    assert Store(url).revision() is None
    assert run("store", "move", "--to", url, "--data", shop).code == 0
    again = run("store", "move", "--to", url, "--data", shop)
    assert again.code == 1
    assert "is not empty" in again.err


def test_a_password_in_the_settings_is_refused(shop: Path, run: Run) -> None:
    """`config show` and the dashboard would show it."""
    for url in ("postgresql://a:b@c.test/d", "postgresql://c.test/d?password=b"):
        point(shop, url)
        done = run("config", "check", "--data", shop)
        assert done.code == 2
        assert "passfile" in done.err
        assert "b@c" not in done.err


def test_an_empty_database_is_no_edge(shop: Path, run: Run, url: str) -> None:
    """Neither `run` nor a command takes it for an edge without tokens."""
    point(shop, url)
    for words in (("run",), ("token", "list"), ("config", "check")):
        done = run(*words, "--data", shop)
        assert done.code != 0
        assert "has no tables; fill it" in done.err
    assert Store(url).revision() is None


def test_doctor(shop: Path, run: Run, url: str, postgres: PostgresServer) -> None:
    """It says where the store is, whether it answers, and whether that is proved."""
    point(shop, url)

    def said() -> tuple[str, str]:
        found = json.loads(run("doctor", "--offline", "--json", "--data", shop).out)["findings"]
        (one,) = [one for one in found if one["check"] == "database"]
        return one["state"], one["what"]

    assert said() == ("problem", f"{url} has no tables")
    run("store", "move", "--from", shop / "edge.sqlite3", "--to", url, "--data", shop)
    assert said() == ("ok", f"{url} is there, of revision 0014")
    postgres.stop()
    assert said()[0] == "problem"
    assert "cannot be reached" in said()[1]


def test_remake_fills_an_empty_database_only(shop: Path, run: Run, url: str) -> None:
    """From the snapshot of the edge that ran last; what has tables is others', too."""
    from asgi_tunnel_edge.storage import save_snapshot_file

    save_snapshot_file(Store(shop / "edge.sqlite3").snapshot(), shop / "snapshot.json")
    point(shop, url)
    done = run("remake", "database", "--data", shop)
    assert "is new, with the 1 tokens" in done.out
    assert names(run, shop) == ["shop"]
    assert "can be read" in run("remake", "database", "--data", shop).err
    done = run("remake", "database", "--force", "--data", shop)
    assert done.code == 2
    assert "nothing of a PostgreSQL is replaced" in done.err
    assert names(run, shop) == ["shop"]


def test_backup_and_restore(shop: Path, run: Run, url: str, tmp_path: Path) -> None:
    """A backup has all rows; `restore` leaves the server alone, and says how to fill one."""
    run("store", "move", "--to", url, "--data", shop)
    point(shop, url)
    run("token", "create", "blog", "--data", shop)
    archive, new = tmp_path / "backup.zip", tmp_path / "new"
    assert run("backup", archive, "--data", shop).code == 0
    done = run("restore", archive, "--data", new)
    assert done.code == 0
    assert f"store move --from {new / 'edge.sqlite3'}" in done.out
    assert [one.name for one in Store(new / "edge.sqlite3").read()[1]] == ["shop", "blog"]
    assert "restore never touches" in done.out
