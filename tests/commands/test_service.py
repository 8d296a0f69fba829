from __future__ import annotations

import json
from pathlib import Path

import pytest

from asgi_tunnel.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_services_are_added_listed_and_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is made with the first one."""
    assert main(["service", "add", "photos.example.org", "http://127.0.0.1:2342"]) == 0
    assert main(["service", "add", "a.test/api", "main:app", "--strip", "--host", "x"]) == 2
    assert main(["service", "add", "a.test/api", "main:app", "--strip"]) == 0
    assert (folder / "asgi-tunnel.toml").read_text() == (
        '[[services]]\nhostname = "photos.example.org"\nto = "http://127.0.0.1:2342"\n\n'
        '[[services]]\nhostname = "a.test"\npath = "/api"\nto = "main:app"\nstrip = true\n'
    )
    assert "host does not fit what answers here" in capsys.readouterr().err
    assert main(["service", "list"]) == 0
    assert capsys.readouterr().out == (
        "photos.example.org  http://127.0.0.1:2342\na.test/api          main:app\n"
    )
    assert main(["service", "rm", "photos.example.org"]) == 0
    assert main(["service", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert found == [{"hostname": "a.test", "path": "/api", "to": "main:app"}]


def test_other_kinds_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By what a visitor gets."""
    (folder / "asgi-tunnel.toml").write_text(
        '[[services]]\nhostname = "a"\nredirect = "/b"\n'
        '[[services]]\nhostname = "b"\nstatus = 410\n'
    )
    assert main(["service", "list"]) == 0
    assert capsys.readouterr().out == "a  308 /b\nb  410\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["service", "list"], "asgi-tunnel.toml is not in this folder; add a service with"),
        (["service", "rm", "a.test"], "asgi-tunnel.toml is not in this folder"),
        (["service", "add", "a b", "http://127.0.0.1:1"], "service a b: hostname is no hostname"),
        (
            ["service", "add", "a", "http://169.254.169.254"],
            "where clouds keep a machine's secrets",
        ),
        (["service", "list", "--services", "x.toml"], "x.toml cannot be read: No such file"),
        (["run"], "there is nothing to serve; name an app"),
        (["run", "main:app", "--services", "x.toml"], "give MODULE:APP or --services, not both"),
        (["run", "--services", "x.toml", "--factory"], "--factory is about MODULE:APP"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and no file is made."""
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_check_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; without anything wrong 0."""
    assert main(["service", "add", "a.test", "./"]) == 0
    assert main(["service", "check"]) == 0
    assert main(["service", "add", "a.test/x", "./"]) == 0
    assert "no request reaches it: a.test stands above it" in capsys.readouterr().out
    assert main(["service", "check"]) == 1
    assert capsys.readouterr().out == (
        "a.test: ok\na.test/x: no request reaches it: a.test stands above it; move it up\n"
    )
