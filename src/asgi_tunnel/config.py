"""Settings of the app's side: arguments first, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .env_file import read_text
from .errors import ConfigError
from .inspector.settings import INSPECT, GivenInspect, Inspect, read_inspect
from .token import Token

TOKEN: Final = "ASGI_TUNNEL_TOKEN"  # noqa: S105 - the name of a setting
TOKEN_FILE: Final = "ASGI_TUNNEL_TOKEN_FILE"  # noqa: S105 - the name of a setting
CA_FILE: Final = "ASGI_TUNNEL_CA_FILE"
PINS: Final = "ASGI_TUNNEL_PINS"
PLAINTEXT_HOST: Final = "ASGI_TUNNEL_PLAINTEXT_HOST"
CONNECTIONS: Final = "ASGI_TUNNEL_CONNECTIONS"
GRACE: Final = "ASGI_TUNNEL_GRACE"
ROOT_PATH: Final = "ASGI_TUNNEL_ROOT_PATH"
HOSTNAMES: Final = "ASGI_TUNNEL_HOSTNAMES"
CERTIFICATE: Final = "ASGI_TUNNEL_CERTIFICATE"
KEY: Final = "ASGI_TUNNEL_KEY"
ACME_EMAIL: Final = "ASGI_TUNNEL_ACME_EMAIL"
ACME_DIRECTORY: Final = "ASGI_TUNNEL_ACME_DIRECTORY"
ACME_ROOT: Final = "ASGI_TUNNEL_ACME_ROOT"
CERTIFICATES: Final = "ASGI_TUNNEL_CERTIFICATES"
STATUS: Final = "ASGI_TUNNEL_STATUS"
ROUTES: Final = "ASGI_TUNNEL_ROUTES"
INBOX: Final = "ASGI_TUNNEL_INBOX"

MAX_CONNECTIONS: Final = 8
"""More connections of one process share the same uplink and gain nothing."""

MAX_HOSTNAMES: Final = 100
"""A token has no more, and HELLO has room for as many."""

DEFAULT_CONNECTIONS: Final = 2
"""When one is lost, the other one takes what is new while the first is dialed again."""

DEFAULT_GRACE: Final = 30.0
"""Seconds; systemd waits three times as long before it kills."""

_AROUND: Final = " \t\r\n\v\f\xa0\ufeff\u200b\u200e\u2060"
"""White space, and characters that nobody sees: byte order mark, zero-width space, and the like."""

_LOOPBACK: Final = frozenset({"localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEndConfig:
    """The certificate of end-to-end hostnames, which the app shows itself.

    From two files, or else from a CA where there is an e-mail address.
    """

    certificate: Path | None = None  # PEM, with those up to its CA
    key: Path | None = None  # PEM, without a passphrase
    acme_email: str | None = None  # agrees to the CA's terms; None: nothing is ordered
    acme_directory: str | None = None  # the URL of the CA; None: Let's Encrypt
    acme_root: Path | None = None  # PEM that this URL is trusted by; None: the system's CAs
    folder: Path | None = None  # for what the CA gives; None: this user has none of its own

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> EndToEndConfig:
        """Return the settings.

        Raises:
            ConfigError: One of the two files is given without the other, or a value cannot be used.
        """
        certificate, key = environ.get(CERTIFICATE), environ.get(KEY)
        if bool(certificate) != bool(key):
            given, missing = (CERTIFICATE, KEY) if certificate else (KEY, CERTIFICATE)
            raise ConfigError(given, f"is set and {missing} is not", "set both, or none of them")
        root = environ.get(ACME_ROOT)
        return cls(
            certificate=Path(certificate) if certificate else None,
            key=Path(key) if key else None,
            acme_email=_email(environ.get(ACME_EMAIL, "")),
            acme_directory=_directory(environ.get(ACME_DIRECTORY, "")),
            acme_root=Path(root) if root else None,
            folder=_folder(environ, CERTIFICATES, "certificates"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelConfig:
    """What a connector needs to know."""

    token: Token = field(repr=False)
    text: str = field(repr=False)  # the token as it was given, for the Authorization field
    connections: int = DEFAULT_CONNECTIONS  # sessions kept at the same time
    grace: float = DEFAULT_GRACE  # seconds that requests in progress get when the app ends
    root_path: str = ""  # put before each path
    hostnames: tuple[str, ...] = ()  # of the token's; empty: all of them
    inbox: tuple[str, ...] = ()  # routes whose requests the edge keeps while the app is away
    plaintext_host: str = ""  # the one host, besides loopback, that may be dialed without TLS
    ca_file: Path | None = None  # PEM of the edge's CA, read at each dial; None: the system's CAs
    pins_folder: Path | None = None  # keeps the pins that an edge has named; None: only memory
    status_folder: Path | None = None  # of the socket for `asgi-tunnel status`; None: there is none
    sends_routes: bool = False  # the edge replies 404 to paths that no route of the app has
    inspect: Inspect | None = None  # what is recorded of exchanges; None: nothing
    spec_version: str = "2.3"  # of ASGI HTTP; "2.4" makes sends after a disconnect raise
    end_to_end: EndToEndConfig = field(default_factory=EndToEndConfig)

    @classmethod
    def required(cls, **settings: Any) -> TunnelConfig:
        """As :meth:`from_env`, for who has nothing to do without a token.

        Raises:
            ConfigError: No token is given, or as :meth:`from_env`.
        """
        config = cls.from_env(**settings)
        if config is None:
            fix = "create a token on the edge with `asgi-tunnel-edge token create`"
            raise ConfigError(TOKEN, "is not set", fix)
        return config

    @classmethod
    def from_env(  # noqa: PLR0913 - one argument for each setting
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        connections: int | None = None,
        grace: float | None = None,
        root_path: str | None = None,
        hostnames: Sequence[str] | None = None,
        inbox: Sequence[str] | None = None,
        plaintext_host: str | None = None,
        inspect: GivenInspect | None = None,
        spec_version: str = "2.3",
    ) -> TunnelConfig | None:
        """Return the settings, or None when no token is given anywhere.

        Args:
            environ: The environment; the process's own by default.
            token: Comes before ``ASGI_TUNNEL_TOKEN`` and ``ASGI_TUNNEL_TOKEN_FILE``.
            connections: 1 to 8.
            grace: Seconds, 0 or more.
            root_path: Empty, or starts with a slash.
            hostnames: Those of the token's that this process serves; empty: all of them.
            inbox: Routes such as ``POST /hooks/stripe``, beside those that are marked in the code.
            plaintext_host: Host name or address, without a port.
            inspect: What is recorded of exchanges: a level, or more as an
                :class:`.inspector.settings.Inspect`; False: nothing, whatever the environment says.
            spec_version: "2.3" or "2.4".

        Raises:
            ConfigError: A value cannot be used; says which, why and what to do.
        """
        environ = os.environ if environ is None else environ
        text, setting = _find_token(environ, token)
        if not text:
            return None
        parsed = Token.parse(text, setting=setting)
        host = plaintext_host
        if host is None:
            host = environ.get(PLAINTEXT_HOST, "")
        _check_plaintext(parsed, host, setting)
        if spec_version not in ("2.3", "2.4"):
            raise ConfigError("spec_version", 'is neither "2.3" nor "2.4"', "leave it out")
        path = environ.get(ROOT_PATH, "") if root_path is None else root_path
        if path and not path.startswith("/"):
            raise ConfigError(ROOT_PATH, "does not start with a slash", "write it like /shop")
        return cls(
            token=parsed,
            text=text,
            connections=_count(environ, connections),
            grace=_seconds(environ, grace),
            root_path=path.rstrip("/"),
            hostnames=_hostnames(environ, hostnames),
            inbox=_inbox(environ, inbox),
            plaintext_host=host,
            ca_file=_ca_file(environ, parsed),
            pins_folder=_folder(environ, PINS, "pins"),
            status_folder=next(iter(status_folders(environ)), None),
            sends_routes=_switch(environ, ROUTES),
            inspect=read_inspect(inspect, environ.get(INSPECT, "")),
            spec_version=spec_version,
            end_to_end=EndToEndConfig.from_env(environ),
        )


def status_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where processes of this user may have the sockets of ``asgi-tunnel status``.

    The first one is where this process has its own; a service of the system has no runtime folder,
    and who asks for its status has one. Empty: there is none.
    """
    given = environ.get(STATUS)
    if given:
        return [] if given == "off" else [Path(given)]
    found = []
    if environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(environ["XDG_RUNTIME_DIR"]) / "asgi-tunnel")
    with suppress(RuntimeError):  # a user without a home
        own = Path(environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
        found.append(own / "asgi-tunnel" / "run")
    return found


def _find_token(environ: Mapping[str, str], token: str | None) -> tuple[str, str]:
    if token is not None:
        return _bare(token), "token"
    if environ.get(TOKEN):
        return _bare(environ[TOKEN]), TOKEN
    path = environ.get(TOKEN_FILE)
    if not path:
        return "", TOKEN
    text = _bare(read_text(Path(path), TOKEN_FILE))
    if not text.strip():
        raise ConfigError(TOKEN_FILE, "names a file that is empty", "write the token into it")
    return text, TOKEN_FILE


def _bare(text: str) -> str:
    """Take off what files and clipboards put around a token: line ends, a byte order mark."""
    bare = text.strip(_AROUND)
    if bare.startswith(("export ", f"{TOKEN}=")):
        # The line that `token create` prints, for a shell.
        bare = bare.removeprefix("export ").strip().removeprefix(f"{TOKEN}=").strip(_AROUND)
    return bare or text


def _check_plaintext(token: Token, host: str, setting: str) -> None:
    from urllib.parse import urlsplit

    url = urlsplit(token.edge)
    name = url.hostname or ""
    if url.scheme == "ws" and not may_be_plain(name, host):
        raise ConfigError(
            setting,
            f"leads to {name} without TLS: anyone on the way could read and change everything",
            f"give the edge TLS, or set {PLAINTEXT_HOST}={name} if you trust the whole way",
        )


def _ca_file(environ: Mapping[str, str], token: Token) -> Path | None:
    given = environ.get(CA_FILE)
    if not given:
        return None
    if token.pin is not None:
        # Ignoring it would quietly drop the check that somebody asked for.
        raise ConfigError(
            CA_FILE,
            "is set, and the token knows the edge by a pin and asks no CA",
            "leave it out, or give the edge a certificate of that CA and create a new token",
        )
    path = Path(given)
    if not path.is_file():
        raise ConfigError(CA_FILE, "names no file", "put the certificate of the edge's CA there")
    return path


def _folder(environ: Mapping[str, str], setting: str, name: str) -> Path | None:
    """Where an app keeps something: what the setting says, or a folder of the user's own."""
    if environ.get(setting):
        return Path(environ[setting])
    try:
        own = Path(environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    except RuntimeError:  # a user without a home
        return None
    return own / "asgi-tunnel" / name


def may_be_plain(name: str, plaintext_host: str) -> bool:
    """Whether a host may be dialed without TLS: one of this machine, or the one that is allowed."""
    return _is_loopback(name) or name == plaintext_host


def _is_loopback(name: str) -> bool:
    """Whether a name or address never leaves this machine (RFC 5735: all of 127.0.0.0/8)."""
    parts = name.split(".")
    is_ipv4 = len(parts) == 4 and all(part.isdigit() for part in parts)
    return name in _LOOPBACK or (is_ipv4 and parts[0] == "127")


def _email(text: str) -> str | None:
    name, at, domain = text.partition("@")
    if text and not (at and name and domain and text.isprintable() and " " not in text):
        raise ConfigError(ACME_EMAIL, "is no e-mail address", "write it like me@example.org")
    return text or None


def _directory(url: str) -> str | None:
    if url and not url.startswith(("https://", "http://")):
        raise ConfigError(
            ACME_DIRECTORY,
            "is no URL of a CA's directory",
            "leave it out to get Let's Encrypt, or write it with https://",
        )
    return url or None


def _hostnames(environ: Mapping[str, str], given: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(given, str):  # a string is a sequence of letters
        given = given.split(",")
    names = environ.get(HOSTNAMES, "").split(",") if given is None else given
    found = tuple(dict.fromkeys(one.strip().lower() for one in names if one.strip()))
    if len(found) > MAX_HOSTNAMES:
        raise ConfigError(
            HOSTNAMES, f"has more than {MAX_HOSTNAMES} names", "leave it out to serve all"
        )
    for one in found:
        if not one.isascii() or not one.isprintable() or " " in one or len(one) > 255:
            raise ConfigError(
                HOSTNAMES, "has something that is no hostname", "write it like shop.example.org"
            )
    return found


def _switch(environ: Mapping[str, str], setting: str) -> bool:
    text = environ.get(setting, "off").lower()
    if text not in ("on", "off", ""):
        raise ConfigError(setting, 'is neither "on" nor "off"', "leave it out to get off")
    return text == "on"


def _inbox(environ: Mapping[str, str], given: Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        given = environ.get(INBOX, "")
    if isinstance(given, str):  # a string is a sequence of letters
        given = given.split(",")
    rules = [one for one in given if one.strip()]
    if not rules:
        return ()
    from .inbox import check_rules

    return check_rules(rules, setting=INBOX)


def _count(environ: Mapping[str, str], given: int | None) -> int:
    text = environ.get(CONNECTIONS, str(DEFAULT_CONNECTIONS)) if given is None else str(given)
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CONNECTIONS:
        raise ConfigError(
            CONNECTIONS, f"is no number from 1 to {MAX_CONNECTIONS}", "leave it out to get 2"
        )
    return int(text)


def _seconds(environ: Mapping[str, str], given: float | None) -> float:
    text = environ.get(GRACE, str(DEFAULT_GRACE)) if given is None else str(given)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError(GRACE, "is no number of seconds from 0 to 3600", "leave it out to get 30")
    return seconds
