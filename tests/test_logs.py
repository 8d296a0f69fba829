"""Our lines are seen whatever the app does with logging."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFIGURED = {
    "dictConfig": "logging.config.dictConfig({'version': 1})",
    "dictConfig with a file": (
        "logging.config.dictConfig({'version': 1, 'handlers': {'file': {'class':"
        " 'logging.FileHandler', 'filename': 'app.log'}},"
        " 'root': {'handlers': ['file'], 'level': 'WARNING'}})"
    ),
    "dictConfig with our name": (
        "logging.config.dictConfig({'version': 1, 'loggers': {'asgi_tunnel': {'level': 'INFO'}},"
        " 'handlers': {'seen': {'class': 'logging.StreamHandler'}},"
        " 'root': {'handlers': ['seen'], 'level': 'WARNING'}})"
    ),
    "fileConfig": (
        "open('app.ini', 'w').write('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\n"
        "keys=\\n[logger_root]\\nhandlers=\\n'); logging.config.fileConfig('app.ini')"
    ),
    "disabled": "logging.getLogger('asgi_tunnel.connector').disabled = True",
    "basicConfig": "logging.basicConfig(level='ERROR', force=True)",
}


def run(folder: Path, *lines: str) -> str:
    """Run a program; return what it wrote to stderr."""
    start = (
        "import logging, logging.config",
        "from asgi_tunnel.logs import ensure_handler, fatal",
        "import asgi_tunnel.runner",
        "log = logging.getLogger('asgi_tunnel.connector')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join((*start, *lines))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert not done.stdout
    return done.stderr


@pytest.mark.parametrize("form", CONFIGURED)
@pytest.mark.parametrize("is_again", [False, True], ids=["once", "again"])
def test_a_configuration_takes_no_line_away(tmp_path: Path, form: str, is_again: bool) -> None:
    """What the app configures later hides no line, and shows none twice."""
    lines = ["ensure_handler()", CONFIGURED[form], "ensure_handler()" if is_again else ""]
    seen = run(tmp_path, *lines, "log.info('the URL')", "log.error('it raised')")
    assert seen.count("the URL") == 1, seen
    assert seen.count("it raised") == 1, seen


@pytest.mark.parametrize("form", [one for one in CONFIGURED if "file" not in one])
def test_what_was_configured_before_takes_no_line_away(tmp_path: Path, form: str) -> None:
    """What the app configured earlier hides no line, not by a level for everything either."""
    seen = run(tmp_path, CONFIGURED[form], "ensure_handler()", "log.info('the URL')")
    assert seen.count("the URL") == 1, seen


def test_handlers_of_the_app_get_the_lines(tmp_path: Path) -> None:
    """Where the app logs to a file, our lines go there."""
    seen = run(
        tmp_path, CONFIGURED["dictConfig with a file"], "ensure_handler()", "log.info('the URL')"
    )
    assert not seen
    assert "the URL" in (tmp_path / "app.log").read_text()


def test_a_level_set_for_us_counts(tmp_path: Path) -> None:
    """Who sets a level for our lines gets what it says."""
    level = "logging.getLogger('asgi_tunnel').setLevel('WARNING')"
    for lines in (["ensure_handler()", level], [level, "ensure_handler()"]):
        seen = run(tmp_path, *lines, "log.info('the URL')", "log.warning('no edge')")
        assert "the URL" not in seen
        assert "no edge" in seen


@pytest.mark.parametrize(
    "lines",
    [
        "ensure_handler()",
        CONFIGURED["dictConfig with a file"] + "\nensure_handler()",
        "logging.disable(logging.CRITICAL)",
        "logging.basicConfig(handlers=[logging.NullHandler()])",
        "logging.getLogger('asgi_tunnel').setLevel(logging.CRITICAL)",
        "logging.basicConfig(level='CRITICAL')",
    ],
)
def test_a_fatal_message_reaches_stderr(tmp_path: Path, lines: str) -> None:
    """Why the process ends is on stderr once, with its traceback, whatever is configured."""
    seen = run(tmp_path, lines, "fatal(log, 'no %s', 'app', cause=ValueError('42'))")
    assert seen.count("no app") == 1, seen
    assert seen.count("ValueError: 42") == 1, seen
