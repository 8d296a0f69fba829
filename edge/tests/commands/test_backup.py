"""``backup`` and ``restore``: an edge moves to another folder, and its tokens stay valid."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import ssl
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.ports import free_port

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel_edge.commands import archive
from asgi_tunnel_edge.running import marked_as_running
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .conftest import Run


@pytest.fixture
def secure(tmp_path: Path, run: Run) -> Path:
    """An edge with a certificate of its own, a ban and a revoked token."""
    data = tmp_path / "data"
    where = ("--domain", "a.test", "--listen", f"127.0.0.1:{free_port()}")
    assert run("init", "--data", data, *where).code == 0
    for name in ("shop", "old"):
        assert run("token", "create", name, "--data", data).code == 0
    run("token", "revoke", "old", "--data", data)
    run("ban", "add", "203.0.113.7", "--data", data)
    return data


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but SQLite's."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "sqlite3" not in path.name
    }


async def visit(data: Path, text: str) -> bytes:
    """What a visitor of blog.a.test gets from an app with this token, by an edge of this folder."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    edge = Edge(EdgeConfig.load(data))
    await edge.start()
    settings = TunnelConfig.from_env({"ASGI_TUNNEL_TOKEN": text})
    assert settings is not None
    connector = Connector(settings, Origin(app))
    try:
        connector.start()
        await connector.wait_connected()
        trust = ssl.create_default_context(cafile=data / "tls" / "certificate.pem")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", edge.address.port, ssl=trust, server_hostname="blog.a.test"
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: blog.a.test\r\nConnection: close\r\n\r\n")
        response = await reader.read()
        writer.close()
        return response
    finally:
        await connector.stop()
        await edge.stop()


async def is_known_as_used(data: Path, name: str) -> None:
    """Wait for what an edge that has stopped writes last."""
    store = Store(EdgeConfig.load(data).database_path)
    token_id = store.find_token(name).id
    while token_id not in store.last_used():  # noqa: ASYNC110 - a file of another thread
        await asyncio.sleep(0.02)


async def test_an_edge_on_another_machine(tmp_path: Path, run: Run, secure: Path) -> None:
    """The restored edge serves the token that the old one made, and shows the same certificate."""
    token = json.loads(run("token", "create", "blog", "--data", secure, "--json").out)["token"]
    assert (await visit(secure, token)).endswith(b"5\r\nhello\r\n0\r\n\r\n")
    await is_known_as_used(secure, "blog")
    file, other = tmp_path / "copy.zip", tmp_path / "other" / "edge"
    done = run("backup", file, "--data", secure)
    assert (done.code, done.err) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    done = run("restore", file, "--data", other)
    assert (done.code, done.err) == (0, "")
    assert "The edge of a.test, as it was on 2" in done.out
    for name in ("edge.toml", "tls/certificate.pem", "tls/key.pem", "tls/next-key.pem"):
        assert (other / name).read_bytes() == (secure / name).read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in other.rglob("*")} == {0o600, 0o700}
    listed = [run("token", "list", "--data", one, "--json").out for one in (secure, other)]
    assert [one["name"] for one in json.loads(listed[1])] == ["shop", "old", "blog"]
    assert run("ban", "list", "--data", other, "--json").out == (
        run("ban", "list", "--data", secure, "--json").out
    )
    assert (await visit(other, token)).endswith(b"5\r\nhello\r\n0\r\n\r\n")


def test_the_account_with_a_ca_moves_too(tmp_path: Path, run: Run) -> None:
    """What is encrypted in the database can be read with the key that came with it."""
    from asgi_tunnel_edge.certificates.acme.records import ExternalAccountRecord
    from asgi_tunnel_edge.storage.acme import AcmeStore

    data, other = tmp_path / "data", tmp_path / "other"
    options = ("--domain", "a.test", "--email", "me@a.test", "--dns", "none", "--no-check")
    assert run("init", "--data", data, *options).code == 0
    config = EdgeConfig.load(data)
    external = ExternalAccountRecord(key_id="me", mac_key="c2VjcmV0")
    AcmeStore(config.database_path, config.acme_key_path).save_external_account(
        config.acme.directory, external
    )
    file = tmp_path / "copy.zip"
    made = json.loads(run("backup", file, "--data", data, "--json").out)
    assert made["files"] == ["edge.toml", "tls/store.key", "edge.sqlite3"]
    assert run("restore", file, "--data", other).code == 0
    config = EdgeConfig.load(other)
    state = AcmeStore(config.database_path, config.acme_key_path).load(config.acme.directory)
    assert state.external == external


def test_what_pages_are_made_of_moves_too(tmp_path: Path, run: Run, data: Path) -> None:
    """Without its logo and templates an edge would not start on the other machine."""
    settings = data / "edge.toml"
    own = '[pages]\nlogo = "logo.svg"\ntemplates = "own"\n'
    settings.write_text(settings.read_text().replace("[pages]\n", own))
    assert run("backup", tmp_path / "early.zip", "--data", data).code == 0  # they are missing
    (data / "logo.svg").write_text("<svg/>")
    (data / "own").mkdir()
    (data / "own" / "page.html").write_text("{{ title }}")
    assert run("backup", tmp_path / "copy.zip", "--data", data).code == 0
    other = tmp_path / "other"
    assert run("restore", tmp_path / "copy.zip", "--data", other).code == 0
    assert run("config", "check", "--data", other).out.endswith("can be used.\n")
    (other / "logo.svg").unlink()
    done = run("config", "check", "--data", other)
    assert (done.code, "pages.logo: " in done.err) == (2, True)


def test_what_is_elsewhere_is_named(tmp_path: Path, run: Run, data: Path) -> None:
    """A file outside of the folder is not copied; both commands say so."""
    path, file = data / "edge.toml", tmp_path / "copy.zip"
    text = path.read_text().replace("[acme]\n", '[acme]\nroot = "/etc/ca.pem"\n')
    path.write_text(text)
    done = run("backup", file, "--data", data)
    assert "/etc/ca.pem is outside of" in done.err
    done = run("restore", file, "--data", tmp_path / "other", "--json")
    assert "/etc/ca.pem was outside of the edge's folder" in done.err
    assert json.loads(done.out)["outside"] == ["/etc/ca.pem"]


def test_nothing_is_overwritten(tmp_path: Path, run: Run, secure: Path) -> None:
    """Neither a file by `backup`, nor a folder with anything in it by `restore`."""
    file = tmp_path / "copy.zip"
    run("backup", file, "--data", secure)
    before, whole = file.read_bytes(), contents(secure)
    done = run("backup", file, "--data", secure)
    assert (done.code, file.read_bytes()) == (2, before)
    assert done.err.startswith(f"error: FILE: {file} is there already; ")
    done = run("restore", file, "--data", secure)
    assert (done.code, contents(secure)) == (2, whole)
    assert "is not an empty folder, and nothing is overwritten" in done.err
    empty = tmp_path / "empty"
    empty.mkdir()
    with marked_as_running(empty):
        assert "an edge is running in" in run("restore", file, "--data", empty).err
    assert list(empty.iterdir()) == []
    assert run("restore", file, "--data", empty).code == 0


def rewritten(source: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of an archive with other files in it."""
    with zipfile.ZipFile(source) as there:
        files = {name: there.read(name) for name in there.namelist()}
    change(files)
    target = source.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return target


def manifest(files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest among the files of an archive."""
    found = json.loads(files["manifest.json"])
    change(found)
    files["manifest.json"] = json.dumps(found).encode()


def renamed(name: str) -> Callable[[dict[str, bytes]], None]:
    """The key under another name, in the manifest as well."""

    def change(files: dict[str, bytes]) -> None:
        files[name] = files.pop("tls/key.pem")

        def entry(found: dict[str, Any]) -> None:
            for one in found["files"]:
                if one["path"] == "tls/key.pem":
                    one["path"] = name

        manifest(files, entry)

    return change


def newer(found: dict[str, Any]) -> None:
    """As a later version writes it."""
    found["database"] = "9999"
    found["version"] = "9.0"


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    """One file less."""

    def change(files: dict[str, bytes]) -> None:
        del files[name]

    return change


def grown(files: dict[str, bytes]) -> None:
    """Settings that are larger than any."""
    files["edge.toml"] = bytes(archive.MAX_FILE + 1)

    def entry(found: dict[str, Any]) -> None:
        for one in found["files"]:
            if one["path"] == "edge.toml":
                one["size"] = archive.MAX_FILE + 1

    manifest(files, entry)


CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "out": (renamed("../key.pem"), "leads out of the folder"),
    "absolute": (renamed("/tmp/key.pem"), "leads out of the folder"),
    "odd": (renamed("tls//key.pem"), "leads out of the folder"),
    "backslash": (renamed("..\\key.pem"), "leads out of the folder"),
    "changed": (
        lambda files: files.update({"tls/key.pem": bytes(len(files["tls/key.pem"]))}),
        "tls/key.pem is another one than when it was made",
    ),
    "missing": (without("tls/key.pem"), "are not those of its manifest"),
    "more": (lambda files: files.update({"x": b""}), "are not those of its manifest"),
    "no manifest": (without("manifest.json"), "it has no manifest"),
    "no JSON": (lambda files: files.update({"manifest.json": b"{"}), "its manifest is none"),
    "newer": (lambda files: manifest(files, newer), 'asgi-tunnel-edge "9.0", which is newer'),
    "many": (
        lambda files: files.update({str(number): b"" for number in range(100)}),
        "too many files",
    ),
    "large": (grown, "is too large"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_archive_that_was_changed(tmp_path: Path, run: Run, secure: Path, name: str) -> None:
    """Each is refused with one sentence, and nothing is left behind."""
    change, sentence = CHANGES[name]
    file, other = tmp_path / "copy.zip", tmp_path / "other"
    run("backup", file, "--data", secure)
    before = sorted(tmp_path.iterdir())
    changed = rewritten(file, change)
    done = run("restore", changed, "--data", other)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [*[one for one in before if one < changed], changed] + [
        one for one in before if one > changed
    ]


@pytest.mark.parametrize("size", [0, 100, -100])
def test_an_archive_that_was_cut(tmp_path: Path, run: Run, secure: Path, size: int) -> None:
    """A copy that did not arrive whole is no archive."""
    file, other = tmp_path / "copy.zip", tmp_path / "other"
    run("backup", file, "--data", secure)
    file.write_bytes(file.read_bytes()[:size])
    done = run("restore", file, "--data", other)
    assert (done.code, done.out) == (2, "")
    assert "cannot be used: it is no whole archive" in done.err
    assert not other.exists()


def test_a_backup_that_fails_leaves_nothing(
    tmp_path: Path, run: Run, secure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No half file, and no copy of the database, when the disk is full."""

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    done = run("backup", tmp_path / "copy.zip", "--data", secure)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert [one.name for one in tmp_path.iterdir()] == ["data"]


def test_while_the_edge_writes(tmp_path: Path, run: Run, secure: Path) -> None:
    """An open transaction of somebody else is not in the copy, and does not stop it."""
    database = sqlite3.connect(secure / "edge.sqlite3", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE tokens SET name = 'changed'")
    try:
        assert run("backup", tmp_path / "copy.zip", "--data", secure).code == 0
    finally:
        database.execute("ROLLBACK")
        database.close()
    run("restore", tmp_path / "copy.zip", "--data", tmp_path / "other")
    listed = json.loads(run("token", "list", "--data", tmp_path / "other", "--json").out)
    assert [one["name"] for one in listed] == ["shop", "old"]
