"""``config check`` and ``config show``, and the reading of all mistakes at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from asgi_tunnel_edge.cli import main
from asgi_tunnel_edge.settings.survey import find_mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def test_all_is_well(data: Path, run: Run) -> None:
    """Exit code 0."""
    done = run("config", "check", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{data / 'edge.toml'} and what it names can be used.\n"


def test_every_mistake_is_named(data: Path, run: Run) -> None:
    """Each by one sentence, in one run; the exit code says that it does not start."""
    (data / "edge.toml").write_text(
        'domain = "a b"\n'
        'colour = "red"\n'
        'public_url = "ftp://a.test"\n'
        "[limits]\n"
        "head_timeout = -1\n"
        'max_body = "big"\n'
        "[proxies]\n"
        "protocol = true\n"
        '[hostnames."shop.a.test"]\n'
        "scaner = true\n"
    )
    done = run("config", "check", "--data", data)
    assert (done.code, done.out) == (2, "")
    said = sorted(line.split(": ")[2] for line in done.err.splitlines())
    assert said == sorted(
        [
            "domain",
            "listen",
            "colour",
            "public_url",
            "limits.head_timeout",
            "limits.max_body",
            "proxies.protocol",
            'hostnames."shop.a.test".scaner',
        ]
    )
    result = json.loads(run("config", "check", "--data", data, "--json").out)
    assert result["ok"] is False
    assert [one["setting"] for one in result["errors"]] == [
        line.split(": ")[2] for line in done.err.splitlines()
    ]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("domain = a.test", ["syntax"]),
        ("limits = 3\ndomain = 'a.test'\nlisten = '127.0.0.1:1'", ["limits"]),
        ("hostnames = 3\ndomain = 'a.test'\nlisten = '127.0.0.1:1'", ["hostnames"]),
        (
            (
                "domain = 'a.test'\nlisten = '127.0.0.1:1'\n[tls]\nmode = 'acme'\n"
                "[acme]\ndns = 'update'\naddresses = ['x']"
            ),
            ["acme.addresses", "acme.update_server"],
        ),
    ],
)
def test_what_cannot_be_read_on(tmp_path: Path, text: str, settings: list[str]) -> None:
    """A mistake that hides others is named, and the rest as far as it can be read."""
    (tmp_path / "edge.toml").write_text(text)
    config, mistakes = find_mistakes(tmp_path)
    assert config is None
    assert [one.setting for one in mistakes] == settings


def test_what_it_names_is_looked_at(data: Path, run: Run) -> None:
    """Certificate, access log and database, as a start would need them."""
    path = data / "edge.toml"
    text = path.read_text().replace('mode = "off"', 'mode = "files"')
    path.write_text(text.replace("[access_log]\n", '[access_log]\npath = "none/access.log"\n'))
    (data / "edge.sqlite3").unlink()
    done = run("config", "check", "--data", data, "--json")
    result = json.loads(done.out)
    assert (done.code, len(result["errors"])) == (2, 3)
    said = " ".join(one["message"] for one in result["errors"])
    for part in ("certificate.pem cannot be read", "access.log cannot be written", "no database"):
        assert part in said


def test_show(data: Path, run: Run) -> None:
    """Every setting, the value that holds, and where it comes from."""
    with (data / "edge.toml").open("a") as file:
        file.write('[hostnames."shop.a.test"]\nmax_body = 5\n')
    rows = {
        one["setting"]: (one["value"], one["source"])
        for one in json.loads(run("config", "show", "--data", data, "--json").out)
    }
    assert rows["data"] == (str(data), "option")
    assert rows["domain"] == ("a.test", "file")
    assert rows["limits.max_connections"] == (10000, "default")
    assert rows["proxies.trusted"] == ([], "default")
    assert rows['hostnames."shop.a.test".max_body'] == (5, "file")
    assert 'hostnames."shop.a.test".scanner' not in rows
    out = run("config", "show", "--data", data).out
    assert out.startswith("SETTING ")
    assert any(line.split() == ["tls.mode", '"off"', "file"] for line in out.splitlines())


def test_the_folder_of_the_environment(data: Path) -> None:
    """Where the folder itself comes from is a line too."""
    runner = CliRunner(env={"ASGI_TUNNEL_EDGE_DATA": str(data)})
    rows = json.loads(runner.invoke(main, ["config", "show", "--json"]).stdout)
    assert rows[0] == {"setting": "data", "value": str(data), "source": "environment"}
