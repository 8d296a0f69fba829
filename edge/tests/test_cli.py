from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

import asgi_tunnel_edge
from asgi_tunnel_edge.cli import main
from asgi_tunnel_edge.commands import options

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    ["init"],
    ["run"],
    ["token"],
    ["token", "create"],
    ["token", "list"],
    ["token", "revoke"],
    ["token", "rotate"],
    ["token", "show"],
    ["backup"],
    ["restore"],
    ["doctor"],
    ["config", "check"],
    ["config", "show"],
    ["service", "install"],
    ["user", "create"],
    ["service-token", "create"],
    ["link", "create"],
    ["session", "end"],
    ["access", "test"],
    ["remake", "certificate"],
    ["remake", "database"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help(words: list[str]) -> None:
    """Every command explains itself."""
    result = CliRunner().invoke(main, [*words, "--help"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: asgi-tunnel-edge {' '.join(words)}")


def test_version() -> None:
    """The version is the package's."""
    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout == f"asgi-tunnel-edge, version {asgi_tunnel_edge.__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["begin"], "no such command 'begin'; see `asgi-tunnel-edge --help`"),
        (["token", "find"], "no such command 'find'; see `asgi-tunnel-edge token --help`"),
        (["run", "--port", "1"], "no such option '--port'; see `asgi-tunnel-edge run --help`"),
    ],
)
def test_usage_errors(words: list[str], sentence: str) -> None:
    """A mistake in the words is one sentence too, with exit code 2."""
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {sentence}\n"


@pytest.mark.parametrize("words", [[], ["token"]])
def test_no_words(words: list[str]) -> None:
    """Without a command the help is shown, and the exit code says that nothing was done."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["token", "create", "shop"],
        ["token", "list"],
        ["token", "list", "--json"],
        ["token", "revoke", "shop"],
        ["run"],
    ],
    ids=" ".join,
)
def test_directories_that_are_no_edge(tmp_path: Path, words: list[str]) -> None:
    """Every command tells a missing or foreign directory in one sentence and makes nothing."""
    for data, why in ((tmp_path / "none", "there is no directory"), (tmp_path, "is no edge's")):
        result = CliRunner().invoke(main, [*words, "--data", str(data)])
        assert result.exit_code == 2
        if "--json" in words:
            error = json.loads(result.stdout)["error"]
            said, other = f"error: {error['message']}\n", result.stderr
            assert error["code"] == "config"
        else:
            said, other = result.stderr, result.stdout
        assert said.startswith("error: --data: ")
        assert why in said
        assert (said.count("\n"), other) == (1, "")
        assert list(tmp_path.iterdir()) == []


def test_directory_from_the_environment(tmp_path: Path) -> None:
    """ASGI_TUNNEL_EDGE_DATA stands in for --data."""
    runner = CliRunner(env={"ASGI_TUNNEL_EDGE_DATA": str(tmp_path)})
    assert runner.invoke(main, ["init", "--domain", "a.test"]).exit_code == 0
    assert runner.invoke(main, ["token", "list", "--json"]).stdout == "[]\n"


def test_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --data all commands use one folder: the system's, or else the user's own."""
    system, own = tmp_path / "system" / "edge", tmp_path / "own"
    monkeypatch.setattr(options, "SYSTEM_DIRECTORY", system)
    monkeypatch.setenv("XDG_DATA_HOME", str(own))
    monkeypatch.delenv("ASGI_TUNNEL_EDGE_DATA", raising=False)
    runner = CliRunner()
    assert "make one with" in runner.invoke(main, ["token", "list"]).stderr
    assert runner.invoke(main, ["init", "--domain", "a.test"]).exit_code == 0
    assert (system / "edge.toml").exists()
    assert runner.invoke(main, ["token", "list", "--json"]).stdout == "[]\n"
    monkeypatch.setattr(options, "_is_writable", lambda _: False)  # root may do everything
    monkeypatch.setattr(options, "SYSTEM_DIRECTORY", tmp_path / "none" / "edge")
    assert runner.invoke(main, ["init", "--domain", "b.test"]).exit_code == 0
    assert (own / "asgi-tunnel" / "edge" / "edge.toml").exists()
    assert runner.invoke(main, ["token", "list", "--json"]).stdout == "[]\n"


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no traceback."""

    def interrupt(_: click.Group, __: click.Context) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "invoke", interrupt)
    result = CliRunner().invoke(main, ["run"])
    assert result.exit_code == 130
    assert result.stderr.strip() == "error: interrupted"


def test_used_from_python() -> None:
    """Who calls it without standalone mode gets the exceptions themselves."""
    with pytest.raises(click.UsageError):
        main.main(["nix"], standalone_mode=False)


def test_real_process(tmp_path: Path) -> None:
    """As a user types it: init, token create, token list, and a mistake."""

    def edge(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "asgi_tunnel_edge", *words]
        env = {**os.environ, "ASGI_TUNNEL_EDGE_DATA": str(tmp_path / "data")}
        return subprocess.run(command, capture_output=True, text=True, env=env, check=False)

    assert edge("init", "--domain", "a.test", "--tls", "off").returncode == 0
    created = edge("token", "create", "shop")
    assert (created.returncode, created.stderr) == (0, "")
    assert "\nexport ASGI_TUNNEL_TOKEN=att1." in created.stdout
    assert "shop.a.test" in edge("token", "list").stdout
    wrong = edge("token", "create", "shop")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: the name shop belongs to token tok_")
    assert wrong.stderr.count("\n") == 1
