"""Writes the ``edge.toml`` that ``init`` makes: every setting, with what it means.

Names, meanings and defaults come from the Structs in ``config`` and ``guards``, so no list of them
is kept here. Reading the file is left to ``config``. Called by the command ``init``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..files import PRIVATE, write_atomically
from .acme import LETS_ENCRYPT
from .check import settings_of, toml_value
from .config import CONFIG_FILE, EdgeConfig, GuardsConfig, InboxConfig, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from msgspec import Struct

__all__ = ["render_config", "write_config"]

_TEMPLATE: Final = """\
# Settings of this edge. A line that begins with # shows a default or an example.
# Changes take effect with `asgi-tunnel-edge reload`.

# Apps get names below this domain: token `shop` serves shop.{bare_domain}.
domain = {domain}

# Where visitors and connectors arrive: HOST:PORT. Port 0 takes any free port.
listen = {listen}

# Where visitors come who type http://: HOST:PORT. They are sent to https:// and served nothing.
{http_listen}

# What visitors type, when that is not the domain and the port above: behind a proxy that speaks
# TLS for this edge, or behind a forwarded port.
# public_url = {public_url}

# Processes that serve; 0: one for each core of this machine.
# workers = 1

# Several edges on several machines need these, in each one's file:
# store = "postgresql://edge@db.example.org/edge?passfile=/etc/asgi-tunnel/pgpass"
# bus = "postgresql://edge@db.example.org/edge?passfile=/etc/asgi-tunnel/pgpass"
# node = "a"
# peer_listen = "10.0.0.1:9443"
# edge_address = "203.0.113.1:443"

[tls]
# "internal": this edge's own certificate, pinned in every token; browsers warn.
# "acme":     certificates from a CA, ordered and renewed by this edge; see [acme].
# "files":    a certificate from elsewhere, PEM; the edge's own first, then those up to its CA.
# "off":      plain HTTP; only for this machine, or behind a proxy that speaks TLS.
mode = {mode}
# Paths are absolute or below this directory.
certificate = {certificate}
key = {key}
# For how many seconds browsers keep to https:// once they have seen it (Strict-Transport-Security);
# 0: the edge does not say so. Browsers cannot be told otherwise before that time is over.
# hsts = 0

{acme}
[limits]
{limits}

[proxies]
# Networks of proxies in front of this edge. What they say of a visitor is used, from others it
# is removed. Empty: no proxy is trusted.
# trusted = ["127.0.0.1/32"]
# Where they say it: "x-forwarded" (X-Forwarded-For and -Proto) or "forwarded" (RFC 7239).
# header = "x-forwarded"
# Whether X-Forwarded-Host, or host= in Forwarded, comes before the Host field.
# host = false
# Whether they speak PROXY protocol instead, version 1 or 2; needs tls.mode = "off".
# protocol = false

[guards]
{guards}

# What differs for one hostname, or for all that a wildcard covers: max_body, max_time, allow,
# deny, rate, burst, hostname_rate, hostname_burst, scanner, origins,
# hsts, server_timing.
# [hostnames."blog.{bare_domain}"]
#   max_body = 10485760
#   scanner = false

[inbox]
# What comes for routes that an app has marked, while it is away (webhooks): kept, and delivered.
{inbox}

[dashboard]
# This edge's own pages: tunnels, requests, certificates, logs. Without a hostname or an address
# there are none. The hostname is no token's; the address is one of this machine.
# hostname = "admin.{bare_domain}"
# listen = "127.0.0.1:9181"
# Who sees and changes everything: users, or their groups. Others see the tokens that they own.
# operators = ["anna"]
# operator_groups = ["operators"]
# How people and programs show who they are.
# methods = ["passkey", "password", "oidc", "token"]

[pages]
# How the pages look that this edge shows itself, as when an app is offline. A name, a picture of at
# most 24 KiB beside it (show_name = false: in its place), and a colour.
# name = "Example Hosting"
# logo = "logo.svg"
# show_name = true
# accent = "#0b6bcb"
# What a visitor can do who needs help, and where a click on it leads.
# help = "Write to the operator"
# help_url = "mailto:help@{bare_domain}"
# A folder with pages of your own.
# templates = "pages"

[metrics]
# Numbers for a Prometheus: HOST:PORT of an address that visitors do not reach. Without it nothing
# is counted.
# listen = "127.0.0.1:9180"

[access_log]
# "text" or "json", one line for each exchange.
format = "text"
# Without a path: standard output.
# path = "access.log"
# The file is renamed, to access.log.1 and so on, before it becomes larger than so many bytes, or
# once its first line is so many seconds old; 0: never. And how many renamed files stay.
# rotate_bytes = 0
# rotate_after = 0.0
# keep = 7

[tracing]
# Whether responses say where their time went (Server-Timing); everybody can read it.
# server_timing = false
# Whether each exchange is a span of OpenTelemetry: pip install "asgi-tunnel-edge[otel]", and an
# exporter, such as opentelemetry-exporter-otlp-proto-http.
# enabled = false
# exporter = "otlp_proto_http"
# Where spans go; without it, as the exporter's variables say (OTEL_EXPORTER_OTLP_ENDPOINT).
# endpoint = "http://127.0.0.1:4318/v1/traces"
# The share of traces that is recorded.
# sample = 1.0
# Whether a trace that a visitor names (traceparent) goes on; without it the edge begins its own.
# trust_visitors = false

[alerts]
# A webhook that is called when a tunnel is down, a certificate cannot be renewed or expires, the
# database cannot be read, or memory is short. ASGI_TUNNEL_EDGE_ALERTS_URL comes before it.
# url = "https://hooks.example.net/edge"
# What requests are signed with, in a file; ASGI_TUNNEL_EDGE_ALERTS_SECRET comes before it.
# secret_file = "alerts.secret"
# How many seconds a tunnel is down before that is said.
# after = 60.0
# Of what, and of which tokens; without the latter, of all that have had an app.
# events = ["tunnel_down", "certificate_failing"]
# tokens = ["shop"]
"""


_ACME: Final = """\
[acme]
# For tls.mode = "acme". Where the CA may write to, when a certificate is about to expire.
{email}
# Of the CA, and a root certificate for a CA of your own.
{directory}
{root}
# IP addresses of this machine that get certificates too.
{addresses}
# How the wildcard below the domain is proved to the CA:
# "none":       not at all; each name gets a certificate of its own, and is public by it.
# "zone":       this edge answers DNS for one small zone, which you delegate to it once.
# "persistent": one TXT record that never changes, where the CA supports it.
# "update":     dynamic updates of your DNS server (RFC 2136).
# "hook":       a program of yours sets and removes the record.
dns = {dns}
# zone = {zone}
# zone_servers = {servers}
# dns_listen = "[::]:53"
# update_server = "ns1.example.net"
# update_key = "tsig.key"
# hook = ["/usr/local/bin/set-txt"]
"""


def render_config(config: EdgeConfig) -> str:
    """The text of an ``edge.toml`` with this domain, listener and TLS; the rest at its defaults."""
    return _TEMPLATE.format(
        bare_domain=config.domain,
        domain=toml_value(config.domain),
        listen=toml_value(config.listen),
        public_url=toml_value(f"https://{config.domain}"),
        http_listen=_written("http_listen", config.http_listen, "0.0.0.0:80"),
        acme=_acme(config),
        mode=toml_value(config.tls.mode),
        certificate=toml_value(config.tls.certificate),
        key=toml_value(config.tls.key),
        limits=_settings(Limits),
        guards=_settings(GuardsConfig),
        inbox=_settings(InboxConfig),
    )


def _written(name: str, value: object, example: object) -> str:
    """A setting as it is, or an example of it as a comment."""
    if value is None or value == () or value == "":
        return f"# {name} = {toml_value(example)}"
    return f"{name} = {toml_value(value)}"


def _acme(config: EdgeConfig) -> str:
    acme, domain = config.acme, config.domain
    return _ACME.format(
        email=_written("email", acme.email, f"me@{domain}"),
        directory=_written("directory", acme.directory, LETS_ENCRYPT)
        if acme.directory != LETS_ENCRYPT
        else f"# directory = {toml_value(LETS_ENCRYPT)}",
        root=_written("root", acme.root, "acme-root.pem"),
        addresses=_written("addresses", acme.addresses, ("192.0.2.1",)),
        dns=toml_value(acme.dns),
        zone=toml_value(f"_acme-challenge.{domain}"),
        servers=toml_value((domain,)),
    )


def _settings(struct: type[Struct]) -> str:
    """Every setting of a table as a comment: what it is for, and its default."""
    return "\n".join(
        f"# {setting.title or setting.name} ({setting.expected})\n"
        f"# {setting.name} = {setting.default_text}"
        for setting in settings_of(struct).values()
    )


def write_config(config: EdgeConfig) -> Path:
    """Write ``DIR/edge.toml``, whole or not at all.

    Raises:
        OSError: The directory cannot be written.
    """
    path = config.data_dir / CONFIG_FILE
    write_atomically(path, render_config(config).encode(), mode=PRIVATE)
    return path
