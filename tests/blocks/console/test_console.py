"""Every command on the pages is typed, and prints what the page shows (`make blocks`)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from scripts.check_docs import SHELLS, Page
from tests.blocks.book import pages, run_here
from tests.blocks.test_blocks import DJANGO
from tests.e2e.harness import Edge, running_edge

from .terminal import Terminal, make_edge

APP: Final = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def make_app():
    return app


api = site = app
"""
NAMES: Final = ("shop.example.org", "photos.example.org")
TYPED: Final = [page for page in pages() if any(one.page is page for one in run_here(*SHELLS))]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The edge that the pages' apps dial."""
    with running_edge(tmp_path_factory.mktemp("edge"), domain="example.org") as running:
        yield running


@pytest.fixture(scope="module")
def token(edge: Edge) -> str:
    """A token for the hostnames that the pages use."""
    options = [word for name in NAMES for word in ("--hostname", name)]
    return edge.create_token("all", *options).token


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an edge that pages have from the beginning."""
    return make_edge(tmp_path_factory.mktemp("made") / "edge-data")


@pytest.fixture
def terminal(
    edge: Edge, token: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    """A terminal in a folder with an app, a Django project and a file of variables."""
    for name, text in {**DJANGO, "main.py": APP, "module.py": APP, "app.py": APP}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "src/shop").mkdir(parents=True)
    (tmp_path / "src/shop/__init__.py").write_text("")
    (tmp_path / "src/shop/main.py").write_text(APP, encoding="utf-8")
    (tmp_path / "public").mkdir()
    (tmp_path / ".env").write_text(f"ASGI_TUNNEL_TOKEN={token}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    opened = Terminal(tmp_path, edge, token, made)
    yield opened
    opened.close()


def lacking(text: str) -> bool:
    """Whether an app needs what only `make realapps` installs: the page's commands get another."""
    names = set(re.findall(r"^(?:from|import) (\w+)", text, flags=re.MULTILINE)) - {
        "mysite",
        "main",
    }
    return any(importlib.util.find_spec(name) is None for name in names)


@pytest.mark.e2e
@pytest.mark.timeout(240)  # a page has up to twenty commands
@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.name)
def test_commands_do_what_the_page_says(page: Page, terminal: Terminal) -> None:
    """Each command ends well, or serves; lines that the page shows below it are printed."""
    for block in page.blocks:
        if page.name.startswith("docs/reference/"):
            terminal.forget()
        if block.notes.keys() & {"not run", "run by", "typed on"}:
            continue
        if block.language == "python" and not lacking(block.text):
            name = block.notes.get("file", "main.py")
            text = f"{block.text}\n\n\ndef make_app():\n    return app\n"
            (terminal.folder / name).write_text(text, encoding="utf-8")
            if name == "main.py":  # Litestar looks for an app in app.py
                (terminal.folder / "app.py").write_text(text, encoding="utf-8")
        elif block.language == "toml" and "[[services]]" in block.text:
            (terminal.folder / "asgi-tunnel.toml").write_text(block.text, encoding="utf-8")
        elif block.language == "toml" and block.text.startswith(
            ("# edge.toml\n[access.", "# edge.toml\n[dashboard")
        ):
            terminal.add_settings(block.text)
        elif block.language in SHELLS:
            terminal.run(block)
