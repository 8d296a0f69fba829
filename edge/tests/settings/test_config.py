from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.check import settings_of
from asgi_tunnel_edge.settings.config import (
    AccessLogConfig,
    EdgeConfig,
    GuardsConfig,
    HostnameConfig,
    Limits,
    ListenAddress,
    TlsConfig,
    parse_listen,
    parse_public_url,
)

if TYPE_CHECKING:
    from msgspec import Struct

MINIMAL = 'domain = "example.org"\nlisten = "127.0.0.1:8080"\n'


def load(tmp_path: Path, content: str) -> EdgeConfig:
    """Read an edge.toml with this content."""
    (tmp_path / "edge.toml").write_text(content, "utf-8")
    return EdgeConfig.load(tmp_path)


def test_defaults(tmp_path: Path) -> None:
    """Two settings are enough; every limit has a default."""
    config = load(tmp_path, MINIMAL)
    assert config.tls == TlsConfig(
        mode="internal", certificate="tls/certificate.pem", key="tls/key.pem"
    )
    assert config.limits == Limits()
    assert (config.limits.max_head_bytes, config.limits.max_header_fields) == (65536, 128)
    assert (config.limits.max_request_line, config.limits.max_connections) == (32768, 10000)
    assert (config.limits.hold_timeout, config.limits.resume_window) == (10.0, 30.0)
    assert config.access_log == AccessLogConfig(format="text", path=None)
    assert config.public_url is None
    assert config.listen_address == ListenAddress("127.0.0.1", 8080)


def test_paths_are_below_the_directory_or_absolute(tmp_path: Path) -> None:
    """The directory can be moved; a path from the root stays what it is."""
    config = load(
        tmp_path,
        MINIMAL + '[tls]\ncertificate = "/etc/tls/a.pem"\n[access_log]\npath = "log/access"\n',
    )
    assert config.certificate_path == Path("/etc/tls/a.pem")
    assert config.key_path == tmp_path / "tls/key.pem"
    assert config.access_log_path == tmp_path / "log/access"
    assert config.database_path == tmp_path / "edge.sqlite3"
    assert config.snapshot_path == tmp_path / "snapshot.json"
    assert config.address_path == tmp_path / "edge.address"
    assert load(tmp_path, MINIMAL).access_log_path is None


def test_domain_gets_its_one_spelling(tmp_path: Path) -> None:
    """The domain is compared with hostnames, so it is spelt like one."""
    assert load(tmp_path, MINIMAL.replace("example.org", "Example.ORG.")).domain == "example.org"


def test_whole_numbers_are_seconds_too(tmp_path: Path) -> None:
    """Somebody who writes 5 means 5.0; 0 turns holding off."""
    assert load(tmp_path, MINIMAL + "[limits]\nhold_timeout = 5").limits.hold_timeout == 5.0
    assert load(tmp_path, MINIMAL + "[limits]\nhold_timeout = 0").limits.hold_timeout == 0.0


KNOWN = (
    "domain, listen, http_listen, public_url, workers, store, bus, node, peer_listen, "
    "peer_address, edge_address, tls, acme, limits, proxies, access_log, pages, "
    "tracing, alerts, metrics, guards, access, oidc, inbox, dashboard, hostnames"
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", 'domain: is missing; add domain = "example.org"'),
        ('domain = "a.test"', 'listen: is missing; add listen = "0.0.0.0:443"'),
        (
            MINIMAL + '[limits]\nhold_timeout = "ten"',
            (
                'limits.hold_timeout: expected a number of seconds, got str "ten"; '
                "write for example hold_timeout = 10.0"
            ),
        ),
        (
            MINIMAL + "[limits]\nhold_timeout = -1",
            (
                "limits.hold_timeout: expected a number of seconds, got int -1; "
                "write for example hold_timeout = 10.0"
            ),
        ),
        (
            MINIMAL + "[limits]\nhold_timeout = inf",
            (
                "limits.hold_timeout: expected a number of seconds, got float Infinity; "
                "write for example hold_timeout = 10.0"
            ),
        ),
        (
            MINIMAL + "[limits]\nhold_timeout = nan",
            (
                "limits.hold_timeout: expected a number of seconds, got float NaN; "
                "write for example hold_timeout = 10.0"
            ),
        ),
        (
            MINIMAL + "[limits]\nmax_head_bytes = 0.5",
            (
                "limits.max_head_bytes: expected a whole number of bytes, 1 or more, "
                "got float 0.5; write for example max_head_bytes = 65536"
            ),
        ),
        (
            MINIMAL + "[limits]\nmax_connections = true",
            (
                "limits.max_connections: expected a whole number, 1 or more, got bool true; "
                "write for example max_connections = 10000"
            ),
        ),
        (
            MINIMAL + "[limits]\nmax_connections = [1]",
            (
                "limits.max_connections: expected a whole number, 1 or more, got a list; "
                "write for example max_connections = 10000"
            ),
        ),
        (
            MINIMAL + "[limits]\nmax_connections = 2026-11-23",
            (
                "limits.max_connections: expected a whole number, 1 or more, got a date; "
                "write for example max_connections = 10000"
            ),
        ),
        (
            MINIMAL + "[limits]\nhold_timout = 1.0",
            "limits.hold_timout: there is no such setting; did you mean hold_timeout?",
        ),
        (
            MINIMAL + "[tls]\ncolour = 1",
            (
                "tls.colour: there is no such setting; remove it, or use one of mode, "
                "certificate, key, hsts"
            ),
        ),
        (
            'colour = "blue"\n' + MINIMAL,
            f"colour: there is no such setting; remove it, or use one of {KNOWN}",
        ),
        (
            MINIMAL + '"a\\nb" = 1',
            f'"a\\nb": there is no such setting; remove it, or use one of {KNOWN}',
        ),
        (
            MINIMAL + 'data_dir = "/"',
            f"data_dir: there is no such setting; remove it, or use one of {KNOWN}",
        ),
        (
            "limits = 3\n" + MINIMAL,
            (
                "limits: expected a table, got int 3; "
                "write [limits] on a line of its own and its settings below"
            ),
        ),
        (
            MINIMAL + '[tls]\nmode = "on"',
            (
                'tls.mode: expected "off", "internal", "files" or "acme", got str "on"; '
                'write for example mode = "internal"'
            ),
        ),
        (
            MINIMAL + "[tls]\nmode = {}",
            (
                'tls.mode: expected "off", "internal", "files" or "acme", got a table; '
                'write for example mode = "internal"'
            ),
        ),
        (
            MINIMAL + '[access_log]\npath = ""',
            (
                'access_log.path: expected a path, absolute or below DIR, got str ""; '
                'write for example path = "access.log"'
            ),
        ),
        (
            MINIMAL + "public_url = 5",
            (
                "public_url: expected a URL, got int 5; "
                'write for example public_url = "https://example.org:8443"'
            ),
        ),
        (
            MINIMAL + 'public_url = "example.org"',
            (
                "public_url: expected http://HOST or https://HOST, perhaps with a port, "
                'got "example.org"; write for example https://example.org'
            ),
        ),
        (
            MINIMAL + 'public_url = "http://example.org"',
            'public_url: is http:// while tls.mode is "internal"; write https://, or mode = "off"',
        ),
        (
            'domain = "a.test"\nlisten = "443"',
            (
                'listen: expected HOST:PORT, got "443"; '
                "write for example 0.0.0.0:443, or [::]:443 for IPv6 too"
            ),
        ),
        (
            'domain = "10.0.0.1"\nlisten = "a:1"',
            'domain: "10.0.0.1" is an IP address; write a domain name like example.org',
        ),
        (
            'domain = "*.a.test"\nlisten = "a:1"',
            (
                'domain: "*.a.test" has a *, which only a token\'s hostname may have; '
                "write a domain name like example.org"
            ),
        ),
        (
            "domain = example.org",
            "syntax: Invalid value (at line 1, column 10); correct the line; texts need quotes",
        ),
    ],
)
def test_wrong_file(tmp_path: Path, content: str, sentence: str) -> None:
    """Each mistake is told with its path, what was expected and what to do."""
    with pytest.raises(EdgeConfigError) as caught:
        load(tmp_path, content)
    assert str(caught.value) == f"edge.toml: {sentence}"


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is refused, not guessed at."""
    (tmp_path / "edge.toml").write_bytes(b'domain = "\xff"')
    with pytest.raises(EdgeConfigError, match=r"edge\.toml: syntax: the file is not UTF-8"):
        EdgeConfig.load(tmp_path)


def test_missing_directory_and_file(tmp_path: Path) -> None:
    """A directory that is missing, or is no edge's, is told with the command that makes one."""
    with pytest.raises(EdgeConfigError, match=r"there is no directory .*edge init --data"):
        EdgeConfig.load(tmp_path / "none")
    with pytest.raises(EdgeConfigError, match=r"has no edge\.toml; .*edge init --data"):
        EdgeConfig.load(tmp_path)
    (tmp_path / "edge.toml").mkdir()
    with pytest.raises(EdgeConfigError, match="cannot be read"):
        EdgeConfig.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:443", "0.0.0.0", 443),
        ("[::1]:0", "::1", 0),
        ("localhost:65535", "localhost", 65535),
    ],
)
def test_listen(text: str, host: str, port: int) -> None:
    """HOST:PORT is taken apart and put together again."""
    address = parse_listen(text, setting="--listen")
    assert address == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "443", ":443", "a:", "a:b", "a:65536", "a:-1", "::1:80", "[::1]", "a b:1", "u@h:1"]
)
def test_wrong_listen(text: str) -> None:
    """Anything else is refused under the name of the setting it was written for."""
    with pytest.raises(EdgeConfigError, match=r"^--listen: expected HOST:PORT, got "):
        parse_listen(text, setting="--listen")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://example.org", ("https", "example.org", 443)),
        ("http://example.org/", ("http", "example.org", 80)),
        ("https://example.org:8443", ("https", "example.org", 8443)),
        ("http://[::1]:8080", ("http", "::1", 8080)),
    ],
)
def test_public_url(text: str, parts: tuple[str, str, int]) -> None:
    """A URL's port is its scheme's where none is written."""
    assert parse_public_url(text, setting="public_url") == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "ftp://a.test",
        "https://",
        "https://a.test/x",
        "https://a.test?x",
        "https://u@a.test",
        "https://a.test:0",
        "https://a.test:x",
        "https://[::1",
        "https://a .test",
        "https://b\u00fccher.test",
    ],
)
def test_wrong_public_url(text: str) -> None:
    """A URL with anything but scheme, host and port is refused."""
    with pytest.raises(EdgeConfigError, match="expected http://HOST or https://HOST"):
        parse_public_url(text, setting="public_url")


@pytest.mark.parametrize(
    "struct", [EdgeConfig, Limits, TlsConfig, AccessLogConfig, GuardsConfig, HostnameConfig]
)
def test_every_setting_describes_itself(struct: type[Struct]) -> None:
    """An error about any setting can say what was expected; every limit says what it bounds."""
    for setting in settings_of(struct).values():
        if setting.in_file:
            assert setting.expected != "another value", setting.name
        if struct is Limits:
            assert setting.title, setting.name
            assert setting.default is not msgspec.NODEFAULT, setting.name
