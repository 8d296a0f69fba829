"""The Django example's own tests, as visitors of a real edge, with TLS and without.

The FastAPI example needs nothing here: its tests have a route of their own through a tunnel.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browsing import ROOT
from .harness import Edge, Process, running_app, running_edge

pytestmark = pytest.mark.e2e

GUESTBOOK = ROOT / "examples" / "django_app"


@pytest.fixture(scope="module", params=["off", "internal"])
def edge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """An edge without TLS, then one with it."""
    with running_edge(tmp_path_factory.mktemp("edge"), tls=request.param) as running:
        yield running


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without what steers pytest and the tunnel."""
    skipped = re.compile("PYTEST_|ASGI_TUNNEL_|GUESTBOOK_|HOME_CLOUD_")
    kept = {name: value for name, value in os.environ.items() if not skipped.match(name)}
    kept["PYTHONPATH"] = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return kept | settings


def visit(folder: Path, edge: Edge, *options: str, **settings: str) -> str:
    """Run the tests in ``folder`` against what is served already; return what pytest printed."""
    certificate = edge.folder / "tls" / "certificate.pem"
    if certificate.exists():
        settings["SSL_CERT_FILE"] = str(certificate)
    command = [sys.executable, "-m", "pytest", str(folder), "-q", "-p", "tests.e2e.names", *options]
    done = subprocess.run(
        command,
        env=environment(**settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def public_url(app: Process) -> str:
    """The URL that the app's own log gives."""
    return app.find(r"is live: (\S+)")


def test_guest_book(edge: Edge, tmp_path: Path) -> None:
    """The Django example passes its tests at its public address, and logs no trouble."""
    settings = {"GUESTBOOK_DIR": str(tmp_path / "data"), "GUESTBOOK_HOSTS": ".example.test"}
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=GUESTBOOK, env=environment(**settings), check=True, timeout=60)
    token = edge.create_token("guestbook")
    site = "guestbook_site.asgi:application"
    with running_app(tmp_path, token, site, app_dir=GUESTBOOK, env=settings) as app:
        printed = visit(GUESTBOOK, edge, GUESTBOOK_BASE_URL=public_url(app))
        assert " passed" in printed
        assert app.stop() == 0
    for trouble in ("Traceback", "ERROR", "Internal Server Error", "Warning:"):
        assert trouble not in app.output, app.output
