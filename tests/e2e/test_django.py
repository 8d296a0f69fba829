"""The Django app of ``asgi_tunnel.contrib.django``, in a project that knows nothing of tunnels."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .browsing import browse
from .harness import Edge, Process, Token, listening_sockets, running_edge, spawn, wait_until

pytestmark = pytest.mark.e2e

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """
SECRET_KEY = "only for this test"
DEBUG = True
ALLOWED_HOSTS = [".example.test"]
INSTALLED_APPS = [{daphne} "django.contrib.staticfiles", "asgi_tunnel.contrib.django"]
ROOT_URLCONF = "site_urls"
STATIC_URL = "static/"
STATICFILES_DIRS = [r"{static}"]
MIDDLEWARE = []
USE_TZ = True
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

def page(request):
    return HttpResponse("hello from {}".format(type(request).__name__))

urlpatterns = [path("", page)]
"""
ASGI = """
from django.core.asgi import get_asgi_application
from asgi_tunnel import Tunnel
application = Tunnel(get_asgi_application())
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of four files."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "style.css").write_text("body {}")
    (tmp_path / "manage.py").write_text(MANAGE)
    (tmp_path / "site_urls.py").write_text(URLS)
    write_settings(tmp_path)
    return tmp_path


def write_settings(folder: Path, *, daphne: str = "", more: str = "") -> None:
    """Write the settings of the project."""
    text = SETTINGS.format(daphne=daphne, static=folder / "static") + more
    (folder / "site_settings.py").write_text(text)


@contextmanager
def manage(folder: Path, token: Token, *words: str) -> Iterator[Process]:
    """``python manage.py WORDS``, until the end of the block."""
    command = [sys.executable, "manage.py", *words]
    process = spawn(command, folder, env={"ASGI_TUNNEL_TOKEN": token.token}, cwd=folder)
    try:
        yield process
    finally:
        if process.is_alive():
            process.stop()


def test_manage_py_tunnel(edge: Edge, project: Path) -> None:
    """No port, ASGI, static files as under runserver; a change starts it again; SIGINT ends it."""
    token = edge.create_token("tunnel")
    with manage(project, token, "tunnel") as process, browse(edge, token.hostnames[0]) as web:
        process.wait_for("is live")
        assert web.get("/").text == "hello from ASGIRequest"
        assert web.get("/static/style.css").text == "body {}"
        assert listening_sockets(process.pid) == []
        time.sleep(1.1)  # Django compares whole seconds of some file systems
        (project / "site_urls.py").write_text(URLS.replace("hello", "goodbye"))
        wait_until(lambda: web.get("/").text == "goodbye from ASGIRequest", what="the change")
        process.stop()
    assert "Traceback" not in process.output


def test_manage_py_tunnel_without_reloader(edge: Edge, project: Path) -> None:
    """As in production: SIGTERM finishes what is in progress, and the exit code says so."""
    token = edge.create_token("production")
    write_settings(project, more="ASGI_APPLICATION = 'site_asgi.application'\n")
    (project / "site_asgi.py").write_text(ASGI)
    with (
        manage(project, token, "tunnel", "--noreload") as process,
        browse(edge, token.hostnames[0]) as web,
    ):
        process.wait_for("is live")
        assert web.get("/").text == "hello from ASGIRequest"
        assert process.stop() == 0
    assert "Traceback" not in process.output


@pytest.mark.parametrize(
    ("daphne", "wrapped"),
    [("", False), ('"daphne",', True)],
    ids=["django", "daphne and Tunnel in asgi.py"],
)
def test_runserver(edge: Edge, project: Path, daphne: str, wrapped: bool) -> None:
    """One tunnel in the process that serves, beside Django's own server and Daphne's."""
    token = edge.create_token(f"run-{bool(daphne)}-{wrapped}".lower())
    asgi = "ASGI_APPLICATION = 'site_asgi.application'\n" if wrapped or daphne else ""
    write_settings(project, daphne=daphne, more=asgi)
    (project / "site_asgi.py").write_text(
        ASGI
        if wrapped
        else ASGI.replace("Tunnel(get_asgi_application())", "get_asgi_application()")
    )
    with (
        manage(project, token, "runserver", "127.0.0.1:0") as process,
        browse(edge, token.hostnames[0]) as web,
    ):
        process.wait_for("is live")
        wait_until(lambda: web.get("/").status_code == 200, what="the page")
        assert web.get("/").text == "hello from ASGIRequest"
        assert len(re.findall("is live", process.output)) == 1
        process.stop()
    assert "Traceback" not in process.output


def test_checks(edge: Edge, project: Path) -> None:
    """What would keep visitors out, or let them forge fields, is a warning with what to do."""
    token = edge.create_token("checks")
    more = "ALLOWED_HOSTS = ['localhost']\nUSE_X_FORWARDED_HOST = True\n"
    write_settings(project, more=more)
    with manage(project, token, "check") as process:
        process.wait_for("System check identified 2 issues")
    assert "asgi_tunnel.W001" in process.output
    assert "USE_X_FORWARDED_HOST is set, and through the tunnel it is not needed" in process.output
    with manage(project, Token("", "", [], []), "check") as process:
        process.wait_for("System check identified no issues")
