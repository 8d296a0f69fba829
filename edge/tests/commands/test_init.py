from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import fingerprint
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.settings.acme import LETS_ENCRYPT
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


@pytest.mark.parametrize(
    ("mode", "listen"),
    [("internal", "0.0.0.0:443"), ("files", "0.0.0.0:443"), ("off", "127.0.0.1:8080")],
)
def test_makes_an_edge(tmp_path: Path, run: Run, mode: str, listen: str) -> None:
    """Settings, store and, where asked for, a certificate: all private to the edge's user."""
    data = tmp_path / "deep" / "data"
    done = run("init", "--data", data, "--domain", "Example.org", "--tls", mode)
    assert (done.code, done.err) == (0, "")
    config = EdgeConfig.load(data)
    assert (config.domain, config.tls.mode, config.listen) == ("example.org", mode, listen)
    assert data.stat().st_mode & 0o777 == 0o700
    for path in (config.database_path, data / "edge.toml"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert Store(config.database_path).read() == (0, [])
    assert config.certificate_path.parent.exists() is (mode != "off")
    if mode == "internal":
        server_context(config.certificate_path, config.key_path)
    else:
        assert not config.certificate_path.exists()


def test_tls_is_internal_by_default(tmp_path: Path, run: Run) -> None:
    """Nobody gets plain HTTP without asking for it."""
    run("init", "--data", tmp_path / "d", "--domain", "a.test")
    assert EdgeConfig.load(tmp_path / "d").tls.mode == "internal"


def test_next_steps(tmp_path: Path, run: Run) -> None:
    """A person reads what to do next, with commands that can be pasted."""
    data = tmp_path / "my data"
    done = run("init", "--data", data, "--domain", "example.org", "--tls", "files")
    assert f"asgi-tunnel-edge run --data '{data}'" in done.out
    assert f"asgi-tunnel-edge token create shop --data '{data}'" in done.out
    assert "*.example.org" in done.out
    assert str(data / "tls/certificate.pem") in done.out
    local = run("init", "--data", tmp_path / "x", "--domain", "example.org", "--tls", "off")
    assert "DNS" not in local.out


def test_port_zero(tmp_path: Path, run: Run) -> None:
    """Port 0 is a port that a running edge chooses."""
    run("init", "--data", tmp_path / "d", "--domain", "a.test", "--listen", "127.0.0.1:0")
    assert EdgeConfig.load(tmp_path / "d").listen_address == ("127.0.0.1", 0)


def test_does_not_overwrite(data: Path, run: Run) -> None:
    """An edge that is there stays as it is."""
    before = (data / "edge.toml").read_bytes()
    done = run("init", "--data", data, "--domain", "b.test")
    assert done.code == 2
    assert done.err == (
        f"error: --data: {data} has an edge.toml already, which init does not overwrite; "
        "edit that file, or choose another directory\n"
    )
    assert (data / "edge.toml").read_bytes() == before


def test_another_ca(tmp_path: Path, run: Run) -> None:
    """From staging to the real CA: one line of edge.toml, which the sentence names."""
    options = ("--data", tmp_path / "d", "--domain", "a.test", "--email", "me@a.test", "--no-check")
    staging = "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert run("init", *options, "--acme-directory", staging).code == 0
    done = run("init", *options)
    assert done.code == 2
    assert f'write directory = "{LETS_ENCRYPT}" there, under [acme], and start' in done.err
    assert "is kept apart, and not used with this one" in done.err


def test_keeps_certificate_and_tokens(tmp_path: Path, run: Run) -> None:
    """Settings made anew keep the certificate, which tokens pin, and the tokens."""
    options = ("init", "--data", tmp_path, "--domain", "a.test", "--listen", "127.0.0.1:1")
    run(*options)
    config = EdgeConfig.load(tmp_path)
    pin = fingerprint(config.certificate_path.read_bytes())
    run("token", "create", "shop", "--data", tmp_path)
    (tmp_path / "edge.toml").unlink()
    assert run(*options).code == 0
    assert fingerprint(config.certificate_path.read_bytes()) == pin
    assert Store(config.database_path).generation() == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--domain", "10.0.0.1"],
            '--domain: "10.0.0.1" is an IP address; write a domain name like example.org',
        ),
        (
            ["--domain", "a b"],
            (
                '--domain: "a b" has characters other than letters, digits, hyphens, underscores '
                "and dots; write a domain name like example.org"
            ),
        ),
        (
            ["--domain", "*.a.test"],
            (
                '--domain: "*.a.test" has a *, which only a token\'s hostname may have; '
                "write a domain name like example.org"
            ),
        ),
        (
            ["--domain", "a.test", "--listen", "443"],
            (
                '--listen: expected HOST:PORT, got "443"; '
                "write for example 0.0.0.0:443, or [::]:443 for IPv6 too"
            ),
        ),
        (
            ["--domain", "a.test", "--listen", ""],
            (
                '--listen: expected HOST:PORT, got ""; '
                "write for example 0.0.0.0:443, or [::]:443 for IPv6 too"
            ),
        ),
        (
            ["--domain", "a.test", "--tls", "on"],
            (
                "invalid value for '--tls': 'on' is not one of 'acme', 'internal', 'files', 'off'; "
                "see `asgi-tunnel-edge init --help`"
            ),
        ),
        ([], "missing option '--domain'; see `asgi-tunnel-edge init --help`"),
    ],
)
def test_bad_input(tmp_path: Path, run: Run, options: list[str], sentence: str) -> None:
    """One sentence on stderr, exit code 2, and nothing is made."""
    done = run("init", "--data", tmp_path / "data", *options)
    assert (done.code, done.out, done.err) == (2, "", f"error: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_directory_is_a_file(tmp_path: Path, run: Run) -> None:
    """A file in the directory's place is told, and kept."""
    path = tmp_path / "file"
    path.write_text("mine")
    done = run("init", "--data", path, "--domain", "a.test")
    assert (done.code, done.err) == (
        2,
        f"error: --data: {path} is no directory; choose another one\n",
    )
    assert path.read_text() == "mine"


def test_failure_leaves_nothing(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a step fails, what the steps before it made is taken away, parents included."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "edge.toml")

    monkeypatch.setattr("asgi_tunnel_edge.commands.init.write_config", fail)
    done = run("init", "--data", tmp_path / "a" / "b", "--domain", "a.test")
    assert done.code == 1
    assert done.err == (
        "error: edge.toml: No space left on device; check the disk and the permissions\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_what_was_there(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were in the directory before a failed init are still there after it."""

    def fail(_: Store) -> None:
        raise StorageError("no")

    (tmp_path / "mine").write_text("x")
    monkeypatch.setattr(Store, "migrate", fail)
    assert run("init", "--data", tmp_path, "--domain", "a.test").code == 1
    assert os.listdir(tmp_path) == ["mine"]  # noqa: PTH208


ACME = ("--domain", "a.test", "--email", "me@a.test", "--no-check")


def test_email_means_a_ca(tmp_path: Path, run: Run) -> None:
    """Certificates by themselves, on the ports that a CA looks at, with the zone of proofs."""
    done = run("init", "--data", tmp_path / "d", *ACME)
    assert (done.code, done.err) == (0, "")
    config = EdgeConfig.load(tmp_path / "d")
    assert (config.tls.mode, config.listen, config.http_listen) == ("acme", "[::]:443", "[::]:80")
    assert (config.acme.email, config.acme.dns) == ("me@a.test", "zone")
    assert config.acme.directory == "https://acme-v02.api.letsencrypt.org/directory"
    assert "point to this machine" not in done.out  # the records say it


def test_email_and_another_mode(tmp_path: Path, run: Run) -> None:
    """The mode that is asked for wins."""
    done = run("init", "--data", tmp_path / "d", *ACME, "--tls", "internal")
    assert done.code == 0
    config = EdgeConfig.load(tmp_path / "d")
    assert (config.tls.mode, config.http_listen, config.acme.dns) == ("internal", None, "none")


def test_a_ca_of_ones_own(tmp_path: Path, run: Run) -> None:
    """Its root is found from anywhere."""
    root = tmp_path / "root.pem"
    root.write_text("x")
    options = ("--acme-directory", "https://ca.test/dir", "--acme-root", root, "--dns", "none")
    assert run("init", "--data", tmp_path / "d", *ACME, *options).code == 0
    config = EdgeConfig.load(tmp_path / "d")
    assert config.acme.directory == "https://ca.test/dir"
    assert config.acme_root_path == root
    done = run("init", "--data", tmp_path / "e", *ACME, "--acme-directory", "http://ca.test")
    assert done.code == 2
    assert "acme.directory" in done.err
    assert not (tmp_path / "e").exists()


def test_again_goes_on(tmp_path: Path, run: Run) -> None:
    """The same options look again; others are refused, and nothing is changed."""
    data = tmp_path / "d"
    first = run("init", "--data", data, *ACME)
    before = (data / "edge.toml").read_bytes()
    again = run("init", "--data", data, *ACME)
    assert (again.code, again.out) == (0, first.out)
    other = run("init", "--data", data, *ACME, "--dns", "none")
    assert other.code == 2
    assert "which init does not overwrite" in other.err
    assert (data / "edge.toml").read_bytes() == before
