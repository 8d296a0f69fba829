"""``config pages``: the pages as files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asgi_tunnel_edge.pages.words import WORDS

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def test_each_page_can_be_looked_at(tmp_path: Path, run: Run, data: Path) -> None:
    """With the operator's name, and the policy that an edge would send with it."""
    settings = data / "edge.toml"
    own = '[pages]\nname = "Example Hosting"\n'
    settings.write_text(settings.read_text().replace("[pages]\n", own))
    folder = tmp_path / "new" / "look"
    done = run("config", "pages", folder, "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{len(WORDS)} pages are in {folder}; begin with offline.html.\n"
    assert {path.stem for path in folder.iterdir()} == set(WORDS)
    page = (folder / "maintenance.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<span>Example Hosting</span>" in page
    assert "what you write with --message" in page
    assert "<time datetime=" in page
    assert """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; """ in page


def test_nothing_is_overwritten_by_mistake(tmp_path: Path, run: Run, data: Path) -> None:
    """Neither pages nor templates; with --force pages are."""
    settings = data / "edge.toml"
    own = '[pages]\ntemplates = "own"\n'
    settings.write_text(settings.read_text().replace("[pages]\n", own))
    (data / "own").mkdir()
    (data / "own" / "offline.html").write_text("<head></head>{{ title }}")
    done = run("config", "pages", data / "own", "--force", "--data", data)
    assert done.code == 2
    assert "own is where your templates are; name another folder" in done.err
    look = tmp_path / "look"
    assert run("config", "pages", look, "--data", data, "--json").code == 0
    (look / "offline.html").write_text("mine")
    done = run("config", "pages", look, "--data", data)
    assert (done.code, "offline.html is there already" in done.err) == (2, True)
    assert (look / "offline.html").read_text() == "mine"
    done = run("config", "pages", look, "--force", "--data", data, "--json")
    assert json.loads(done.out)["folder"] == str(look)
    page = (look / "offline.html").read_text()
    assert page.endswith(f"</head>{WORDS['offline'].title}")
    (data / "own" / "offline.html").write_text("{{ titel }}")
    done = run("config", "pages", look, "--data", data)
    assert (done.code, "pages.templates: a template has a mistake" in done.err) == (2, True)
