"""Python and TOML on the pages do what the pages say; no block is left out silently."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import jinja2
import pytest
from scripts.check_docs import ROOT

from asgi_tunnel.services.file import load_file
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.settings.config import EdgeConfig

from .book import Found, blocks, run_here

PYTHONS: Final = (
    Path(sys.executable),
    ROOT / "build/realapps-venv/bin/python",
    ROOT / "build/realapps-quick-venv/bin/python",
)
"""What has the frameworks: this Python, and for `make blocks` those of `make realapps`."""

DJANGO: Final = {
    "mysite/__init__.py": "",
    "mysite/settings.py": """
SECRET_KEY = "made up"
ALLOWED_HOSTS = ["*"]
DEBUG = False
ROOT_URLCONF = "mysite.urls"
STATIC_URL = "static/"
INSTALLED_APPS = ["django.contrib.staticfiles"]
""",
    "mysite/urls.py": """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("hello"))]
""",
    "mysite/asgi.py": """
import os
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_asgi_application()
""",
}
BESIDE: Final = {
    "docs/howto/services.md": {
        "main.py": """
async def api(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

site = api
"""
    },
    "docs/howto/notebooks.md": {
        "notebook.py": "import marimo\n\napp = marimo.App()\n",
    },
}
"""What blocks of a page find in their folder."""

_FOLDERS: Final = re.compile(r'"(/srv/\w+)"')
_TABLE: Final = re.compile(r"^\[", re.MULTILINE)


def test_every_block_is_run_or_says_why_not() -> None:
    """A block that no test runs has a comment above it with the reason."""
    left = [str(one) for one in blocks() if one.handled == "nothing"]
    assert left == [], "add `<!-- not run: why -->` or `<!-- run by: tests/... -->` above these"


# -- Python ----------------------------------------------------------------------------------------


def _imports(text: str) -> set[str]:
    return set(re.findall(r"^(?:from|import) (\w+)", text, flags=re.MULTILINE))


@cache
def _lacking(python: Path, modules: frozenset[str]) -> list[str]:
    """Which modules a Python does not have."""
    program = (
        "import importlib.util, sys; "
        "print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))"
    )
    done = subprocess.run(
        [python, "-c", program, *sorted(modules)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each block, by its place; every Python runs all that are its own at once."""
    cases = run_here("python")
    own = set().union(*(_imports(one.block.text) for one in cases)) - {"main", "mysite"}
    allowed = PYTHONS if os.environ.get("BLOCKS_ALL") else PYTHONS[:1]
    pythons = [python for python in allowed if python.exists()]
    lacking = {python: set(_lacking(python, frozenset(own))) for python in pythons}
    found: dict[str, str] = {}
    for python in pythons:
        folder = tmp_path_factory.mktemp("blocks")
        names: dict[str, str] = {}
        for one in cases:
            needed = _imports(one.block.text)
            if str(one) not in found and not needed & lacking[python]:
                names[_write(one, folder)] = str(one)
        if not names:
            continue
        for name, text in DJANGO.items():
            path = folder / "shared" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (folder / "cases.json").write_text(json.dumps(list(names)), encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if "ASGI_TUNNEL" not in key}
        environment["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
        done = subprocess.run(
            [python, "-m", "tests.blocks.serve", folder],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        written = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        found.update({place: written[name] for name, place in names.items()})
    for one in cases:
        found.setdefault(str(one), f"needs {', '.join(sorted(_imports(one.block.text) & own))}")
    return found


def _write(one: Found, folder: Path) -> str:
    """Write a block into a folder of its own; return its file's path from there."""
    place = folder / re.sub(r"\W", "_", str(one))
    place.mkdir()
    for name, text in BESIDE.get(one.page.name, {}).items():
        (place / name).write_text(text, encoding="utf-8")
    (place / "srv").mkdir()
    text = _FOLDERS.sub(f'"{place / "srv"}"', one.block.text)
    file = place / one.block.notes.get("file", "main.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file.relative_to(folder).as_posix()


@pytest.mark.parametrize("found", run_here("python"), ids=str)
def test_python_runs(found: Found, results: dict[str, str]) -> None:
    """The block is executed with the real libraries, and its app has a front page."""
    result = results[str(found)]
    if result.startswith("needs "):
        pytest.skip(f"{result}: `make realapps` installs it, and `make blocks` uses it")
    assert not result, result


# -- settings of others and of ours ----------------------------------------------------------------


@pytest.mark.parametrize("found", run_here("nginx"), ids=str)
def test_nginx_takes_it(found: Found, tmp_path: Path) -> None:
    """``nginx -t`` finds no mistake in it, with a certificate in the place of the page's."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    files = create_internal_certificate("example.org", tmp_path / "tls")
    text = found.block.text.replace("/etc/ssl/example.org/fullchain.pem", str(files.certificate))
    text = text.replace("/etc/ssl/example.org/privkey.pem", str(files.key))
    head = f"pid {tmp_path}/pid; error_log stderr; events {{}}"
    (tmp_path / "nginx.conf").write_text(f"{head}\nhttp {{\naccess_log off;\n{text}\n}}\n")
    command = [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("found", run_here("toml"), ids=str)
def test_toml_is_read(found: Found, tmp_path: Path) -> None:
    """The settings are taken by what reads them: services by the app's side, others by the edge."""
    text = found.block.text
    if "[[services]]" in text:
        (tmp_path / "public").mkdir()
        (tmp_path / "asgi-tunnel.toml").write_text(text, encoding="utf-8")
        assert load_file(tmp_path / "asgi-tunnel.toml")
        return
    table = _TABLE.search(text)
    head = text[: table.start()] if table else text
    tables = text[table.start() :] if table else ""
    tls = "" if "[tls]" in text else '\n[tls]\nmode = "off"\n'
    whole = f'domain = "example.org"\nlisten = "127.0.0.1:8080"\n{head}\n{tables}{tls}'
    (tmp_path / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "edge.toml").write_text(whole, encoding="utf-8")
    config = EdgeConfig.load(tmp_path)
    assert config.domain == "example.org"


@pytest.mark.parametrize("found", run_here("json", "jinja"), ids=str)
def test_json_and_templates_are_whole(found: Found) -> None:
    """JSON is JSON, and a template is one."""
    if found.block.language == "json":
        assert json.loads(found.block.text)
    else:
        assert jinja2.Environment(autoescape=True).parse(found.block.text).body
