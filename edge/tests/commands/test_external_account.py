"""``init`` for a CA that takes its customers only."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_tunnel_edge.cli import main
from asgi_tunnel_edge.commands.external_account import HMAC_KEY_VARIABLE
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.acme import AcmeStore

from .conftest import Run

KEY = base64.urlsafe_b64encode(b"an HMAC key of 32 bytes, or so..").decode().rstrip("=")
OPTIONS = ("--domain", "a.test", "--email", "me@a.test", "--dns", "none", "--no-check")


def kept(folder: Path) -> tuple[str, str] | None:
    """What an edge has kept."""
    config = EdgeConfig.load(folder)
    store = AcmeStore(config.database_path, config.acme_key_path)
    found = store.load(config.acme.directory).external
    assert KEY not in repr(found)
    return None if found is None else (found.key_id, found.mac_key)


@pytest.mark.parametrize("source", ["file", "-", "variable"])
def test_key(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from a file, standard input or the environment, and is kept encrypted."""
    data = tmp_path / "data"
    words = ["init", "--data", str(data), *OPTIONS, "--eab-key-id", "kid-1"]
    if source == "variable":
        monkeypatch.setenv(HMAC_KEY_VARIABLE, KEY)
    else:
        (tmp_path / "file").write_text(f"{KEY}\n")
        words += ["--eab-hmac-key", "-" if source == "-" else str(tmp_path / "file")]
    done = CliRunner().invoke(main, words, input=f"{KEY}\n")
    assert (done.exit_code, done.stderr) == (0, "")
    assert KEY not in done.output
    assert kept(data) == ("kid-1", KEY)
    for path in data.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_given_later(tmp_path: Path, run: Run) -> None:
    """``init`` again with the same options and the key: it is kept, and may be changed."""
    data = tmp_path / "data"
    assert run("init", "--data", data, *OPTIONS).code == 0
    assert kept(data) is None
    (tmp_path / "file").write_text(KEY)
    for name in ("kid-1", "kid-2"):
        options = ("--eab-key-id", name, "--eab-hmac-key", tmp_path / "file")
        assert run("init", "--data", data, *OPTIONS, *options).code == 0
        assert kept(data) == (name, KEY)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--eab-key-id", "kid-1"), "--eab-hmac-key: is missing, and --eab-key-id is given"),
        (("--eab-hmac-key", "-"), "is given, and --eab-key-id is not"),
        (("--eab-key-id", "kid-1", "--eab-hmac-key", KEY), "names no file that can be read"),
        (("--eab-key-id", "kid-1", "--eab-hmac-key", "/etc/passwd"), "holds something else than"),
        (("--eab-key-id", "a" * 1025, "--eab-hmac-key", "-"), "is not 1 to 1024 characters"),
    ],
)
def test_refusals(tmp_path: Path, run: Run, options: tuple[str, ...], why: str) -> None:
    """One sentence, which never repeats the key, and nothing is left behind."""
    done = run("init", "--data", tmp_path / "data", *OPTIONS, *options)
    assert done.code == 2
    assert why in done.err
    assert KEY not in done.err
    assert not (tmp_path / "data").exists()


def test_without_a_ca(tmp_path: Path, run: Run) -> None:
    """It says nothing to an edge that orders no certificates."""
    (tmp_path / "file").write_text(KEY)
    given = ("--eab-key-id", "kid-1", "--eab-hmac-key", tmp_path / "file")
    done = run("init", "--data", tmp_path / "data", "--domain", "a.test", *given)
    assert (done.code, "is for certificates from a CA" in done.err) == (2, True)
