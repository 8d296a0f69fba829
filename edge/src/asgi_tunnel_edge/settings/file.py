"""Writes the ``edge.toml`` that ``init`` makes: every setting, with what it means.

Names, meanings and defaults come from the Structs in ``config`` and ``guards``, so no list of them
is kept here. Reading the file is left to ``config``. Called by the command ``init``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..files import PRIVATE, write_atomically
from .check import settings_of, toml_value
from .config import CONFIG_FILE, EdgeConfig, GuardsConfig, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from msgspec import Struct

__all__ = ["render_config", "write_config"]

_TEMPLATE: Final = """\
# Settings of this edge. A line that begins with # shows a default or an example.
# Changes take effect when the edge is started again.

# Apps get names below this domain: token `shop` serves shop.{bare_domain}.
domain = {domain}

# Where visitors and connectors arrive: HOST:PORT. Port 0 takes any free port.
listen = {listen}

# Where visitors come who type http://: HOST:PORT. They are sent to https:// and served nothing.
# http_listen = "0.0.0.0:80"

# What visitors type, when that is not the domain and the port above: behind a proxy that speaks
# TLS for this edge, or behind a forwarded port.
# public_url = {public_url}

[tls]
# "internal": this edge's own certificate, pinned in every token; browsers warn.
# "files":    a certificate from elsewhere, PEM; the edge's own first, then those up to its CA.
# "off":      plain HTTP; only for this machine, or behind a proxy that speaks TLS.
mode = {mode}
# Paths are absolute or below this directory.
certificate = {certificate}
key = {key}
# For how many seconds browsers keep to https:// once they have seen it (Strict-Transport-Security);
# 0: the edge does not say so. Browsers cannot be told otherwise before that time is over.
# hsts = 0

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
# hsts.
# [hostnames."blog.{bare_domain}"]
#   max_body = 10485760
#   scanner = false

[access_log]
# "text" or "json", one line for each exchange.
format = "text"
# Without a path: standard output.
# path = "access.log"
"""


def render_config(config: EdgeConfig) -> str:
    """The text of an ``edge.toml`` with this domain, listener and TLS; the rest at its defaults."""
    return _TEMPLATE.format(
        bare_domain=config.domain,
        domain=toml_value(config.domain),
        listen=toml_value(config.listen),
        public_url=toml_value(f"https://{config.domain}"),
        mode=toml_value(config.tls.mode),
        certificate=toml_value(config.tls.certificate),
        key=toml_value(config.tls.key),
        limits=_settings(Limits),
        guards=_settings(GuardsConfig),
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
