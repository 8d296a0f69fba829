"""The ``edge.toml`` that ``init`` writes: every setting, with what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .config import CONFIG_FILE, EdgeConfig, Limits
from .config_check import settings_of, toml_value
from .files import PRIVATE, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["render_config", "write_config"]

_TEMPLATE: Final = """\
# Settings of this edge. A line that begins with # shows a default or an example.
# Changes take effect when the edge is started again.

# Apps get names below this domain: token `shop` serves shop.{bare_domain}.
domain = {domain}

# Where visitors and connectors arrive: HOST:PORT. Port 0 takes any free port.
listen = {listen}

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

[limits]
{limits}

[access_log]
# "text" or "json", one line for each exchange.
format = "text"
# Without a path: standard output.
# path = "access.log"
"""


def render_config(config: EdgeConfig) -> str:
    """The text of an ``edge.toml`` with this domain, listener and TLS; the rest at its defaults."""
    limits = "\n".join(
        f"# {setting.title or setting.name} ({setting.expected})\n"
        f"# {setting.name} = {setting.example}"
        for setting in settings_of(Limits).values()
    )
    return _TEMPLATE.format(
        bare_domain=config.domain,
        domain=toml_value(config.domain),
        listen=toml_value(config.listen),
        public_url=toml_value(f"https://{config.domain}"),
        mode=toml_value(config.tls.mode),
        certificate=toml_value(config.tls.certificate),
        key=toml_value(config.tls.key),
        limits=limits,
    )


def write_config(config: EdgeConfig) -> Path:
    """Write ``DIR/edge.toml``, whole or not at all.

    Raises:
        OSError: The directory cannot be written.
    """
    path = config.data_dir / CONFIG_FILE
    write_atomically(path, render_config(config).encode(), mode=PRIVATE)
    return path
