"""What ``--json`` prints, compared with the schemas in docs/reference/schemas/edge."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from asgi_tunnel_edge import errors
from asgi_tunnel_edge.cli import error_code, main

from .conftest import Run
from .test_cert import data as issued  # noqa: F401 - a fixture

SCHEMAS = Path(__file__).parents[3] / "docs/reference/schemas/edge"

WITHOUT_JSON = {"init", "run", "remake certificate", "remake database"}


def schema(name: str) -> Any:
    """One of them."""
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def check(name: str, text: str) -> Any:
    """See that a text is one document as the schema says; return it."""
    document = json.loads(text)
    Draft202012Validator(schema(name)).validate(document)
    return document


def commands(group: click.Group = main, prefix: str = "") -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None
        if isinstance(one, click.Group):
            found |= commands(one, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = one
    return found


def test_each_command_is_found_by_its_own_name() -> None:
    """They are imported when they are called, by a table of names."""
    for name, one in commands().items():
        assert one.name == name.split()[-1]


@pytest.mark.parametrize(
    ("words", "near"), [("reloda", "reload"), ("token lst", "list"), ("tokn list", "token")]
)
def test_a_mistyped_name_is_told_the_nearest(words: str, near: str) -> None:
    """Also where its command is not imported yet."""
    program = "from asgi_tunnel_edge.cli import main; main()"
    command = [sys.executable, "-c", program, *words.split()]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert f"Did you mean '{near}'?" in done.stderr


def test_a_command_imports_no_other() -> None:
    """All of them take 0.8 s, which each command and each serving process would wait."""
    program = "import sys, asgi_tunnel_edge.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert b"asgi_tunnel_edge.commands" not in loaded
    assert b"sqlalchemy" not in loaded


def test_each_command_has_a_schema() -> None:
    """And each has --json and --data, but for those that print for a person alone."""
    named = {one.replace(" ", "-"): command for one, command in commands().items()}
    with_json = set(named) - {one.replace(" ", "-") for one in WITHOUT_JSON}
    assert {path.stem for path in SCHEMAS.iterdir()} == {*with_json, "error"}
    for name in with_json:
        options = {text for one in named[name].params for text in one.opts}
        assert {"--json", "--data"} <= options, name
        Draft202012Validator.check_schema(schema(name))


def test_documents(data: Path, run: Run, tmp_path: Path) -> None:
    """Each command in turn, as a program runs it."""
    file, other, unit = tmp_path / "copy.zip", tmp_path / "other", tmp_path / "unit"
    with (data / "edge.toml").open("a") as settings:
        settings.write('[access.family]\nusers = ["anna"]\n')
        settings.write('[hostnames."shop.a.test"]\naccess = "family"\n')
    for name, words in [
        ("token-create", ("token", "create", "shop", "--expires", "9d")),
        ("token-create", ("token", "create", "old")),
        ("token-limit", ("token", "limit", "shop", "--max-tunnels", 3)),
        ("token-rotate", ("token", "rotate", "shop")),
        ("token-show", ("token", "show", "shop")),
        ("host-add", ("host", "add", "shop", "cart.a.test")),
        ("host-maintenance-on", ("host", "maintenance", "on", "cart.a.test", "--until", "1h")),
        ("host-list", ("host", "list")),
        ("host-maintenance-off", ("host", "maintenance", "off", "cart.a.test")),
        ("host-rm", ("host", "rm", "cart.a.test")),
        ("token-revoke", ("token", "revoke", "old")),
        ("token-list", ("token", "list")),
        ("ban-add", ("ban", "add", "203.0.113.7", "--for", "1h")),
        ("ban-list", ("ban", "list")),
        ("ban-rm", ("ban", "rm", "203.0.113.7")),
        ("user-create", ("user", "create", "anna", "--email", "anna@a.test")),
        ("user-list", ("user", "list")),
        ("user-show", ("user", "show", "anna")),
        ("token-change", ("token", "change", "shop", "--owner", "anna")),
        ("token-change", ("token", "change", "shop", "--owner", "")),
        ("user-change", ("user", "change", "anna", "--group", "family")),
        ("user-invite", ("user", "invite", "anna")),
        ("user-sign-out", ("user", "sign-out", "anna")),
        ("service-token-create", ("service-token", "create", "phone", "--access", "family")),
        ("service-token-list", ("service-token", "list")),
        ("service-token-revoke", ("service-token", "revoke", "phone")),
        ("link-create", ("link", "create", "shop.a.test/album")),
        ("link-list", ("link", "list")),
        ("access-list", ("access", "list")),
        ("access-test", ("access", "test", "shop.a.test", "/", "--user", "anna")),
        ("session-list", ("session", "list")),
        ("session-end", ("session", "end", "--all")),
        ("user-rm", ("user", "rm", "anna")),
        ("config-check", ("config", "check")),
        ("config-show", ("config", "show")),
        ("config-pages", ("config", "pages", tmp_path / "pages")),
        ("doctor", ("doctor", "--offline")),
        ("service-install", ("service", "install", "--dry-run", "--unit", unit)),
        ("backup", ("backup", file)),
    ]:
        done = run(*words, "--data", data, "--json")
        assert (done.code, done.err) == (0, ""), words
        document = check(name, done.out)
        assert document != [] or name == "session-list"
        if name == "link-create":
            revoked = run("link", "revoke", document["id"], "--data", data, "--json")
            check("link-revoke", revoked.out)
    done = run("restore", file, "--data", other, "--json")
    assert done.code == 0
    check("restore", done.out)


def test_certificates(issued: Path, run: Run) -> None:  # noqa: F811 - the fixture
    """Those of a CA, and an order that is asked for again."""
    assert check("cert-list", run("cert", "list", "--data", issued, "--json").out) != []
    assert check("cert-renew", run("cert", "renew", "a.test", "--data", issued, "--json").out)


def test_the_certificate_of_the_edge(tmp_path: Path, run: Run) -> None:
    """The next one, and then the change."""
    assert run("init", "--data", tmp_path / "data", "--domain", "a.test").code == 0
    done = run("cert", "renew", "--data", tmp_path / "data", "--json")
    assert check("cert-renew", done.out)["changed"] is False


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("token", "show", "nobody"), "token_not_found"),
        (("token", "create", "shop"), "name_taken"),
        (("token", "create", "x", "--hostname", "shop.a.test"), "hostname_taken"),
        (("host", "rm", "x.a.test"), "hostname_not_found"),
        (("host", "add", "shop", "a b"), "hostname"),
        (("ban", "rm", "203.0.113.7"), "ban_not_found"),
        (("ban", "add", "x"), "config"),
        (("token", "rotate", "shop", "--overlap", "x"), "config"),
        (("cert", "list"), "config"),
        (("token", "show"), "usage"),
        (("token", "list", "--colour"), "usage"),
        (("backup", "/none/copy.zip"), "config"),
        (("service", "install", "--unit", "/proc/none/unit"), "system"),
    ],
)
def test_errors(
    data: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: str
) -> None:
    """One document on stdout, and nothing on stderr; the exit code is as without --json."""
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: iter(["x"] * 9))  # equal errors
    run("token", "create", "shop", "--data", data)
    plain = run(*words, "--data", data)
    done = run(*words, "--data", data, "--json")
    assert (done.code, done.err) == (plain.code, "")
    assert done.code != 0
    error = check("error", done.out)["error"]
    assert error["code"] == code
    assert plain.err == f"error: {error['message']}\n"


def test_a_broken_database(data: Path, run: Run) -> None:
    """Its code says that another try may succeed, or a copy is needed."""
    (data / "edge.sqlite3").write_bytes(b"hello" * 1000)
    done = run("token", "list", "--data", data, "--json")
    assert done.code == 1
    assert check("error", done.out)["error"]["code"] == "storage"


def test_the_schema_has_every_code() -> None:
    """Of all errors that a command can end with."""
    ended = {
        error_code(kind.__new__(kind))
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EdgeError)
        if kind not in (errors.EdgeError, errors.RequestError, errors.WebSocketError)
        if kind is not errors.ProxyHeaderError
    }
    known = set(schema("error")["properties"]["error"]["properties"]["code"]["enum"])
    assert known == ended | {"usage", "system", "interrupted"}
