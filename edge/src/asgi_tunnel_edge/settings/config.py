"""The edge's settings: ``DIR/edge.toml``, read once, checked to the last key.

An unknown key is refused like a wrong one: a setting that is not read is a hole (T30). Errors name
the setting's path, what was expected and what to do (``check``). It leaves reading certificates to
``certificates`` and writing the file to ``file``. Called by the commands, which hand an
``EdgeConfig`` to ``server``. Large because all tables come together here.

A new limit is one more field of ``Limits``: its type says what is expected, its title what it
bounds; both appear in errors and in the file that ``init`` writes.
"""

from __future__ import annotations

import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from ..errors import EdgeConfigError, HostnameError, shown
from ..hostname import normalise_hostname
from .access import AccessConfig, check_access, check_doors
from .acme import AcmeConfig, check_acme
from .addresses import ListenAddress, PublicUrl, parse_listen, parse_public_url
from .alerts import AlertsConfig, check_alerts
from .check import convert, convert_named
from .cluster import BusUrl, NodeName, StoreUrl, WorkerCount, check_cluster
from .dashboard import (
    POLICY,
    DashboardConfig,
    check_dashboard,
    dashboard_doors,
    dashboard_policy,
)
from .guards import GuardsConfig, HostnameConfig, check_lists
from .inbox import InboxConfig
from .oidc import OidcConfig, check_oidc
from .pages import PagesConfig, check_pages
from .tracing import TracingConfig, check_tracing
from .types import (
    Bytes,
    BytesOrZero,
    Count,
    FilePath,
    MemoryBytes,
    Seconds,
    SecondsOrZero,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = [
    "CONFIG_FILE",
    "AccessConfig",
    "AccessLogConfig",
    "AlertsConfig",
    "Bytes",
    "BytesOrZero",
    "Count",
    "DashboardConfig",
    "EdgeConfig",
    "GuardsConfig",
    "HostnameConfig",
    "InboxConfig",
    "Limits",
    "ListenAddress",
    "MetricsConfig",
    "Network",
    "OidcConfig",
    "PagesConfig",
    "ProxiesConfig",
    "PublicUrl",
    "Seconds",
    "SecondsOrZero",
    "TlsConfig",
    "TracingConfig",
    "parse_listen",
    "parse_public_url",
    "read_config",
]

CONFIG_FILE: Final = "edge.toml"

Network = IPv4Network | IPv6Network


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: every bound of the public side. The title of a field says what it bounds."""

    max_request_line: Annotated[Bytes, Meta(title="a request line; longer: 414")] = 32768
    max_head_bytes: Annotated[Bytes, Meta(title="a whole request head; more: 431")] = 65536
    max_header_fields: Annotated[Count, Meta(title="header fields of a request; more: 431")] = 128
    max_connections: Annotated[Count, Meta(title="open visitor connections; more: 503")] = 10000
    max_connections_per_address: Annotated[
        Count, Meta(title="open visitor connections of one address (IPv6: of one /64); more: 503")
    ] = 1000
    max_buffered_bytes: Annotated[
        MemoryBytes, Meta(title="bytes buffered for all visitors and tunnels; more: 503")
    ] = 268435456
    head_timeout: Annotated[
        Seconds, Meta(title="from the first byte to the end of a request head; then 408")
    ] = 10.0
    keep_alive_timeout: Annotated[
        Seconds, Meta(title="an idle connection between two requests; then closed")
    ] = 75.0
    min_body_rate: Annotated[
        BytesOrZero,
        Meta(title="bytes a second, on average over body_grace, that a body has to move; 0: any"),
    ] = 0
    body_grace: Annotated[
        Seconds,
        Meta(title="a body, either way, that moves no byte, or less than min_body_rate: cut"),
    ] = 60.0
    max_body: Annotated[BytesOrZero, Meta(title="a request body; more: 413; 0: no limit")] = 0
    max_time: Annotated[
        SecondsOrZero,
        Meta(title="an exchange from its head to its end; then 504, or cut; 0: no limit"),
    ] = 0.0
    max_websocket_message: Annotated[
        Bytes, Meta(title="one WebSocket message of a visitor; more: 1009")
    ] = 16777216
    websocket_ping_interval: Annotated[
        Seconds, Meta(title="a silent WebSocket is pinged, and closed after as long again")
    ] = 20.0
    max_tunnels: Annotated[Count, Meta(title="tunnel connections; more: 503")] = 10000
    max_tunnels_per_token: Annotated[
        Count, Meta(title="tunnel connections of one token; more: 503")
    ] = 256
    max_visitors_per_token: Annotated[
        Count, Meta(title="exchanges and WebSockets of one token in progress; more: 503")
    ] = 8000
    drain_timeout: Annotated[
        SecondsOrZero,
        Meta(title="what is in progress when a reload or upgrade replaces its process; then cut"),
    ] = 30.0
    hold_timeout: Annotated[
        SecondsOrZero, Meta(title="a request waits this long for an app that is away, then 503")
    ] = 10.0
    resume_window: Annotated[
        SecondsOrZero, Meta(title="exchanges in flight survive the loss of a tunnel this long")
    ] = 30.0


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tls]``: how the listener speaks."""

    mode: Annotated[
        Literal["off", "internal", "files", "acme"],
        Meta(description='"off", "internal", "files" or "acme"'),
    ] = "internal"
    certificate: FilePath = "tls/certificate.pem"
    key: FilePath = "tls/key.pem"
    hsts: SecondsOrZero = 0.0  #: max-age of Strict-Transport-Security; 0: the edge adds none


class ProxiesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[proxies]``: who, besides the socket, may say who the visitor is."""

    trusted: Annotated[
        tuple[str, ...], Meta(description="a list of networks", examples=[["127.0.0.1/32"]])
    ] = ()  #: in which networks the proxies are; empty: none is trusted
    header: Annotated[
        Literal["x-forwarded", "forwarded"], Meta(description='"x-forwarded" or "forwarded"')
    ] = "x-forwarded"
    host: Annotated[bool, Meta(description="true or false")] = False
    protocol: Annotated[bool, Meta(description="true or false")] = False

    @property
    def networks(self) -> tuple[Network, ...]:
        """``trusted``, taken apart.

        Raises:
            EdgeConfigError: One is no network, or is everybody.
        """
        return tuple(_parse_network(one) for one in self.trusted)


class AccessLogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[access_log]``: one line for each exchange."""

    format: Annotated[Literal["text", "json"], Meta(description='"text" or "json"')] = "text"
    path: Annotated[FilePath, Meta(examples=["access.log"])] | None = None  #: None: standard output
    rotate_bytes: BytesOrZero = (
        0  #: before a file becomes larger it is renamed; 0: whatever its size
    )
    rotate_after: SecondsOrZero = 0.0  #: or when its first line is so old; 0: never
    keep: Count = 7  #: renamed files


class MetricsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[metrics]``: numbers for a Prometheus, on an address of their own."""

    listen: Annotated[Text, Meta(description="HOST:PORT", examples=["127.0.0.1:9180"])] | None = (
        None  #: None: nothing is counted and nothing listens
    )


class EdgeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one edge."""

    data_dir: Annotated[Path, Meta(extra={"in_file": False})]  #: DIR, as given
    domain: Annotated[Text, Meta(description="a domain name", examples=["example.org"])]
    listen: Annotated[Text, Meta(description="HOST:PORT", examples=["0.0.0.0:443"])]
    http_listen: Annotated[Text, Meta(description="HOST:PORT", examples=["0.0.0.0:80"])] | None = (
        None
    )
    public_url: (
        Annotated[Text, Meta(description="a URL", examples=["https://example.org:8443"])] | None
    ) = None
    workers: WorkerCount = 1  #: serving processes; 0: one for each core
    store: Annotated[StoreUrl, Meta(examples=["postgresql://edge@db.example.org/edge"])] | None = (
        None  #: None: the file edge.sqlite3
    )
    bus: Annotated[BusUrl, Meta(examples=["nats://10.0.0.5:4222"])] | None = (
        None  #: None: no other edges
    )
    node: Annotated[NodeName, Meta(examples=["a"])] | None = None  #: this edge's name
    peer_listen: (
        Annotated[Text, Meta(description="HOST:PORT", examples=["10.0.0.1:9443"])] | None
    ) = None  #: for other edges; all workers share it
    peer_address: (
        Annotated[Text, Meta(description="HOST:PORT", examples=["10.0.0.1:9443"])] | None
    ) = None  #: where others reach it; None: peer_listen
    edge_address: (
        Annotated[Text, Meta(description="HOST:PORT", examples=["203.0.113.5:443"])] | None
    ) = None  #: where apps reach this edge and no other; None: apps are not told
    tls: TlsConfig = TlsConfig()
    acme: AcmeConfig = AcmeConfig()
    limits: Limits = Limits()
    proxies: ProxiesConfig = ProxiesConfig()
    access_log: AccessLogConfig = AccessLogConfig()
    pages: PagesConfig = PagesConfig()
    tracing: TracingConfig = TracingConfig()
    alerts: AlertsConfig = AlertsConfig()
    metrics: MetricsConfig = MetricsConfig()
    guards: GuardsConfig = GuardsConfig()
    access: Annotated[
        dict[str, AccessConfig], Meta(description="tables such as [access.family]")
    ] = {}  #: by the name that hostnames and paths have it by
    oidc: Annotated[
        dict[str, OidcConfig], Meta(description="tables such as [oidc.google]")
    ] = {}  #: by the name that policies have it by
    inbox: InboxConfig = InboxConfig()
    dashboard: DashboardConfig = DashboardConfig()
    hostnames: Annotated[
        dict[str, HostnameConfig],
        Meta(description='tables such as [hostnames."shop.example.org"]'),
    ] = {}  #: by normal hostname or wildcard

    def __post_init__(self) -> None:
        """Check what one field's type cannot say.

        Raises:
            EdgeConfigError: A value has the right type and makes no sense.
        """
        try:
            domain = normalise_hostname(self.domain)
        except HostnameError as error:
            why = f"{shown(self.domain)} {error.why}"
            fix = "write a domain name like example.org"
            raise EdgeConfigError("domain", why, fix, file=CONFIG_FILE) from error
        force_setattr(self, "domain", domain)
        parse_listen(self.listen, setting="listen", file=CONFIG_FILE)
        self._check_http_listen()
        if self.metrics.listen is not None:
            parse_listen(self.metrics.listen, setting="metrics.listen", file=CONFIG_FILE)
        if self.tls.mode == "acme":
            check_acme(self.acme, file=CONFIG_FILE)
            parse_listen(self.acme.dns_listen, setting="acme.dns_listen", file=CONFIG_FILE)
        check_cluster(self, file=CONFIG_FILE)
        check_lists(self.guards, path="guards", file=CONFIG_FILE)
        check_pages(self.pages, file=CONFIG_FILE)
        check_tracing(self.tracing, file=CONFIG_FILE)
        self._check_access_log()
        check_alerts(self.alerts, file=CONFIG_FILE)
        force_setattr(self, "hostnames", _by_normal_name(self.hostnames))
        check_access(self.access, file=CONFIG_FILE)
        check_doors(self.hostnames, self.access, file=CONFIG_FILE)
        check_oidc(self.oidc, self.access, file=CONFIG_FILE)
        dashboard = check_dashboard(
            self.dashboard, policies=self.access, hostnames=self.hostnames, file=CONFIG_FILE
        )
        force_setattr(self, "dashboard", dashboard)
        if self.public_url is not None:
            scheme, _, _ = parse_public_url(self.public_url, setting="public_url", file=CONFIG_FILE)
            if scheme == "http" and self.tls.mode != "off":
                why = f'is http:// while tls.mode is "{self.tls.mode}"'
                fix = 'write https://, or mode = "off"'
                raise EdgeConfigError("public_url", why, fix, file=CONFIG_FILE)
        self._check_proxies()

    def _check_http_listen(self) -> None:
        if self.http_listen is None:
            return
        parse_listen(self.http_listen, setting="http_listen", file=CONFIG_FILE)
        if self.tls.mode == "off":
            why = 'sends visitors to https:// while tls.mode is "off"'
            fix = "take it out: `listen` is the port for plain HTTP then"
            raise EdgeConfigError("http_listen", why, fix, file=CONFIG_FILE)

    def _check_access_log(self) -> None:
        log = self.access_log
        if log.path is None and (log.rotate_bytes or log.rotate_after):
            name = "rotate_bytes" if log.rotate_bytes else "rotate_after"
            why = "is set, and the access log goes to standard output"
            fix = 'name a file, for example path = "access.log"'
            raise EdgeConfigError(f"access_log.{name}", why, fix, file=CONFIG_FILE)

    def _check_proxies(self) -> None:
        proxies = self.proxies
        if not proxies.networks and (proxies.protocol or proxies.host):
            name = "protocol" if proxies.protocol else "host"
            why = "is true while proxies.trusted is empty"
            fix = 'name the proxy, for example trusted = ["127.0.0.1/32"]'
            raise EdgeConfigError(f"proxies.{name}", why, fix, file=CONFIG_FILE)
        if proxies.protocol and self.tls.mode != "off":
            why = f'is true while tls.mode is "{self.tls.mode}"'
            fix = 'let the proxy speak TLS, with mode = "off" here'
            raise EdgeConfigError("proxies.protocol", why, fix, file=CONFIG_FILE)
        if proxies.protocol and proxies.host:
            why = "is true while proxies.protocol is, and then no header is read"
            raise EdgeConfigError("proxies.host", why, "remove one of the two", file=CONFIG_FILE)

    @classmethod
    def load(cls, data_dir: Path) -> Self:
        """Read ``data_dir/edge.toml``.

        Raises:
            EdgeConfigError: The directory or the file is missing, or a setting is wrong.
        """
        return cls.from_table(cls.read_table(data_dir), data_dir)

    @classmethod
    def from_text(cls, content: str, data_dir: Path) -> Self:
        """Check the text of an ``edge.toml``.

        Raises:
            EdgeConfigError: It is no TOML, or a setting is wrong.
        """
        return cls.from_table(_parse(content), data_dir)

    @staticmethod
    def read_table(data_dir: Path) -> dict[str, Any]:
        """Read ``data_dir/edge.toml`` as TOML; its settings are not looked at.

        Raises:
            EdgeConfigError: The directory or the file is missing, or is no TOML.
        """
        return _parse(read_config(data_dir))

    @classmethod
    def from_table(cls, table: Mapping[str, object], data_dir: Path) -> Self:
        """Check a parsed ``edge.toml``.

        Raises:
            EdgeConfigError: A setting is unknown, missing or wrong.
        """
        named = {
            **convert_named(table, "hostnames", HostnameConfig, file=CONFIG_FILE),
            **convert_named(table, "access", AccessConfig, file=CONFIG_FILE),
            **convert_named(table, "oidc", OidcConfig, file=CONFIG_FILE),
        }
        return convert({**table, **named}, cls, given={"data_dir": data_dir}, file=CONFIG_FILE)

    @property
    def listen_address(self) -> ListenAddress:
        """``listen``, taken apart."""
        return parse_listen(self.listen, setting="listen", file=CONFIG_FILE)

    @property
    def http_address(self) -> ListenAddress | None:
        """``http_listen``, taken apart."""
        if self.http_listen is None:
            return None
        return parse_listen(self.http_listen, setting="http_listen", file=CONFIG_FILE)

    @property
    def is_cluster(self) -> bool:
        """Whether there are other edges."""
        return self.bus is not None

    @property
    def metrics_address(self) -> ListenAddress | None:
        """``metrics.listen``, taken apart."""
        if self.metrics.listen is None:
            return None
        return parse_listen(self.metrics.listen, setting="metrics.listen", file=CONFIG_FILE)

    @property
    def dashboard_address(self) -> ListenAddress | None:
        """``dashboard.listen``, taken apart."""
        if self.dashboard.listen is None:
            return None
        return parse_listen(self.dashboard.listen, setting="dashboard.listen", file=CONFIG_FILE)

    @property
    def policies(self) -> dict[str, AccessConfig]:
        """``access``, and the policy of the dashboard where there is one."""
        if not self.dashboard.is_on:
            return self.access
        return {**self.access, POLICY: dashboard_policy(self.dashboard)}

    @property
    def own_hostnames(self) -> dict[str, HostnameConfig]:
        """``hostnames``, with the dashboard's door in front of its own."""
        if not self.dashboard.is_on:
            return self.hostnames
        return {**self.hostnames, **dashboard_doors(self.dashboard, self.hostnames)}

    @property
    def history_path(self) -> Path:
        """Numbers over time, for the dashboard."""
        return self.data_dir / "history.sqlite3"

    @property
    def database(self) -> Path | str:
        """Where tokens and all else that lasts are: the URL ``store``, or ``database_path``."""
        return self.database_path if self.store is None else self.store

    @property
    def database_path(self) -> Path:
        """The store."""
        return self.data_dir / "edge.sqlite3"

    @property
    def snapshot_path(self) -> Path:
        """The store's last known content, for a start without it."""
        return self.data_dir / "snapshot.json"

    @property
    def address_path(self) -> Path:
        """Where a running edge says which port it has."""
        return self.data_dir / "edge.address"

    @property
    def certificate_copy_path(self) -> Path:
        """What a CA has issued, for a start while a PostgreSQL is down."""
        return self.data_dir / "certificates.json"

    @property
    def acme_key_path(self) -> Path:
        """What secrets in the store and in the inbox are encrypted with."""
        return self.data_dir / "tls" / "store.key"

    @property
    def inbox_path(self) -> Path:
        """What waits for apps that are away."""
        return self.data_dir / "inbox.sqlite3"

    @property
    def inbox_lock_path(self) -> Path:
        """Held by the one process that delivers it."""
        return self.data_dir / "inbox.lock"

    @property
    def acme_root_path(self) -> Path | None:
        """``acme.root`` as a path from anywhere."""
        return None if self.acme.root is None else self.data_dir / self.acme.root

    @property
    def acme_zone(self) -> str:
        """The zone that the edge answers itself."""
        return self.acme.zone or f"_acme-challenge.{self.domain}"

    @property
    def certificate_path(self) -> Path:
        """``tls.certificate`` as a path from anywhere."""
        return self.data_dir / self.tls.certificate

    @property
    def key_path(self) -> Path:
        """``tls.key`` as a path from anywhere."""
        return self.data_dir / self.tls.key

    @property
    def access_log_path(self) -> Path | None:
        """``access_log.path`` as a path from anywhere; None means standard output."""
        return None if self.access_log.path is None else self.data_dir / self.access_log.path


def _parse_network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        why = f"expected a network, got {shown(text)}"
        fix = "write for example 10.0.0.0/8, 2001:db8::/32 or one address, with no bits to its end"
        raise EdgeConfigError("proxies.trusted", why, fix, file=CONFIG_FILE) from None
    if not network.prefixlen:
        why = f"{text} is everybody, and then a visitor may claim any address"
        fix = "name only the networks that your proxies are in"
        raise EdgeConfigError("proxies.trusted", why, fix, file=CONFIG_FILE)
    return network


def _by_normal_name(hostnames: Mapping[str, HostnameConfig]) -> dict[str, HostnameConfig]:
    """The tables of hostnames under the one spelling of each."""
    found: dict[str, HostnameConfig] = {}
    for text, settings in hostnames.items():
        path = f"hostnames.{shown(text)}"
        try:
            name = normalise_hostname(text, wildcard=True)
        except HostnameError as error:
            fix = 'write for example [hostnames."shop.example.org"]'
            raise EdgeConfigError(path, error.why, fix, file=CONFIG_FILE) from error
        if name in found:
            why = f"is {name}, which another table sets already"
            raise EdgeConfigError(path, why, "make one table of them", file=CONFIG_FILE)
        check_lists(settings, path=path, file=CONFIG_FILE)
        found[name] = settings
    return found


def _parse(content: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        fix = "correct the line; texts need quotes"
        raise EdgeConfigError("syntax", str(error), fix, file=CONFIG_FILE) from error


def read_config(data_dir: Path) -> str:
    """Return the text of ``data_dir/edge.toml``.

    Raises:
        EdgeConfigError: The directory or the file is missing or cannot be read.
    """
    init = f"make one with `asgi-tunnel-edge init --data {data_dir} --domain DOMAIN`"
    if not data_dir.is_dir():
        raise EdgeConfigError("--data", f"there is no directory {data_dir}", init)
    try:
        return (data_dir / CONFIG_FILE).read_text("utf-8")
    except FileNotFoundError as error:
        why = f"{data_dir} is no edge's directory, it has no {CONFIG_FILE}"
        raise EdgeConfigError("--data", why, f"give another one, or {init}") from error
    except UnicodeDecodeError as error:
        fix = "save it in UTF-8"
        raise EdgeConfigError("syntax", "the file is not UTF-8", fix, file=CONFIG_FILE) from error
    except OSError as error:
        why = f"{data_dir / CONFIG_FILE} cannot be read ({error.strerror})"
        fix = "run this as the user that owns the directory"
        raise EdgeConfigError("--data", why, fix) from error
