"""Which process serves end-to-end hostnames, and what it says when it cannot."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_tunnel import __version__, end_to_end
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import EndToEndConfig
from asgi_tunnel.end_to_end import EndToEnd, find_server
from asgi_tunnel.errors import ConfigError, TunnelError
from asgi_tunnel.protocol.codes import ResetCode

NAMES = ("home.example.test",)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Never called."""


class Server:
    """Notes what it is asked."""

    def __init__(self, config: EndToEndConfig, origin: Origin) -> None:
        self.calls: list[Any] = []

    async def expect(self, hostnames: Sequence[str]) -> None:
        """Note it."""
        self.calls.append(hostnames)

    def serve(self, link: Any, event: Any) -> Any:
        """Note it."""
        self.calls.append("serve")
        return self

    def drain(self, link: Any) -> None:
        """Note it."""
        self.calls.append("drain")

    def shut_down(self) -> None:
        """Note it."""
        self.calls.append("shut down")

    def stop(self) -> None:
        """Note it."""
        self.calls.append("stop")


class Link:
    """A session that keeps the resets."""

    def __init__(self) -> None:
        self.resets: list[ResetCode] = []

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """Keep the code."""
        self.resets.append(code)


EVENT: Any = SimpleNamespace(stream_id=1)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    """Servers that were made."""
    made: list[Server] = []

    def make(config: EndToEndConfig, origin: Origin) -> Server:
        made.append(Server(config, origin))
        return made[-1]

    monkeypatch.setattr(end_to_end, "find_server", lambda: make)
    return made


async def test_nothing_is_loaded_without_such_a_hostname(servers: list[Server]) -> None:
    """An app without one pays nothing; a stream of bytes is refused."""
    one, link = EndToEnd(EndToEndConfig(), Origin(app)), Link()
    await one.expect(())
    assert one.serve(link, EVENT) is None  # type: ignore[arg-type]
    one.shut_down()
    one.stop()
    assert (servers, link.resets) == ([], [ResetCode.REFUSED])


async def test_one_server_for_all_connections(servers: list[Server]) -> None:
    """Each WELCOME names the hostnames; the server hears of them when they are others, or none."""
    one = EndToEnd(EndToEndConfig(), Origin(app))
    for _ in range(3):
        await one.expect(NAMES)
    link: Any = Link()
    (server,) = servers
    served: Any = one.serve(link, EVENT)
    assert served is server
    await one.expect(())
    one.drain(link)
    one.shut_down()
    one.stop()
    await one.expect(NAMES)
    assert server.calls == [NAMES, "serve", (), "drain", "shut down", "stop"]
    assert servers == [server]


async def test_what_is_missing_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to install; the app's other hostnames go on."""
    monkeypatch.setattr("importlib.import_module", _raise_import_error)
    one, link = EndToEnd(EndToEndConfig(), Origin(app)), Link()
    with caplog.at_level(logging.ERROR):
        await one.expect(NAMES)
        await one.expect(NAMES)
    (record,) = caplog.records
    assert 'pip install "asgi-tunnel[end-to-end]"' in record.getMessage()
    assert one.serve(link, EVENT) is None  # type: ignore[arg-type]
    assert link.resets == [ResetCode.REFUSED]


def _raise_import_error(name: str) -> None:
    message = f"No module named {name!r}"
    raise ModuleNotFoundError(message)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two speak to each other without a protocol between."""
    other = SimpleNamespace(__version__="0.0.0")
    monkeypatch.setattr("importlib.import_module", lambda name: other)
    with pytest.raises(TunnelError, match=rf"0\.0\.0 here and asgi-tunnel of {__version__}"):
        find_server()


def test_the_real_one_is_found() -> None:
    """Its class takes what this module gives it."""
    assert find_server().__name__ == "HomeServer"


def test_both_files_or_none() -> None:
    """One without the other is a mistake, and said as one."""
    assert EndToEndConfig.from_env({}).certificate is None
    both = {"ASGI_TUNNEL_CERTIFICATE": "/c.pem", "ASGI_TUNNEL_KEY": "/k.pem"}
    assert EndToEndConfig.from_env(both).key is not None
    for name in both:
        with pytest.raises(ConfigError, match="set both, or none of them"):
            EndToEndConfig.from_env({name: "/x.pem"})


def test_certificates_from_a_ca(tmp_path: Path) -> None:
    """Without an e-mail address there is none; the folder is the user's, or the one that is set."""
    home = {"XDG_DATA_HOME": str(tmp_path)}
    config = EndToEndConfig.from_env(home)
    assert (config.acme_email, config.acme_directory, config.acme_root) == (None, None, None)
    assert config.folder == tmp_path / "asgi-tunnel" / "certificates"
    given = {
        "ASGI_TUNNEL_ACME_EMAIL": "me@example.org",
        "ASGI_TUNNEL_ACME_DIRECTORY": "https://ca.test/dir",
        "ASGI_TUNNEL_ACME_ROOT": "/root.pem",
        "ASGI_TUNNEL_CERTIFICATES": "/own",
    }
    assert EndToEndConfig.from_env(home | given) == EndToEndConfig(
        acme_email="me@example.org",
        acme_directory="https://ca.test/dir",
        acme_root=Path("/root.pem"),
        folder=Path("/own"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASGI_TUNNEL_ACME_EMAIL", "yes"),
        ("ASGI_TUNNEL_ACME_EMAIL", "me@example.org you@example.org"),
        ("ASGI_TUNNEL_ACME_DIRECTORY", "letsencrypt.org"),
    ],
)
def test_values_of_no_use(name: str, value: str) -> None:
    """Each is refused with what to write."""
    with pytest.raises(ConfigError, match=f"{name} .*write it"):
        EndToEndConfig.from_env({name: value})
