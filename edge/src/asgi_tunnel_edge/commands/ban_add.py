"""``asgi-tunnel-edge ban add``: ban addresses."""

from __future__ import annotations

import json
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.ban import MAX_REASON, BanRecord
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.network import normalise_network
from asgi_tunnel_edge.settings.config import EdgeConfig, Network
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import parse_duration

from .options import data_option, json_option, shell_command, utc_second, utc_time

__all__ = ["add"]

_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers and overlay networks
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Not ``ip_network.is_private``, which holds networks for examples, too."""


@click.command()
@click.argument("address")
@click.option("--for", "lifetime", metavar="TIME", help="90d, 12h or 30m. [default: for ever]")
@click.option("--reason", default="", metavar="TEXT", help="Shown by `ban list`.")
@data_option
@json_option
def add(*, address: str, lifetime: str | None, reason: str, data_dir: Path, as_json: bool) -> None:
    """Ban ADDRESS, an IP address or a network.

    A running edge ends its visitors' connections within a second and takes no new ones, tunnels
    included. A second ban of the same address takes the place of the first.
    """
    config = EdgeConfig.load(data_dir)
    banned = normalise_network(address, setting="ADDRESS")
    seconds = None if lifetime is None else parse_duration(lifetime, setting="--for")
    now = int(time.time())
    ban = BanRecord(
        address=banned,
        created_at=now,
        expires_at=None if seconds is None else now + seconds,
        reason=_checked(reason),
    )
    Store(config.database_path).add_ban(ban)
    for warning in _warnings(config, banned):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({"address": banned, "expires_at": utc_second(ban.expires_at)}))
    elif ban.expires_at is None:
        click.echo(f"{banned} is banned until you take that back with `ban rm`.")
    else:
        click.echo(f"{banned} is banned until {utc_time(ban.expires_at)}.")


def _warnings(config: EdgeConfig, banned: str) -> list[str]:
    """Why a ban may shut out others than those who are meant; empty when it does not."""
    network = ip_network(banned)
    take_back = f"take it back with `{shell_command('ban', 'rm', banned)}` if that is not meant"
    found = [
        f"{banned} holds addresses of your proxy ({proxy}): where the proxy does not name the "
        f"visitor, everybody behind it is banned; {take_back}"
        for proxy in config.proxies.networks
        if _overlap(proxy, network)
    ]
    if network.prefixlen == 0:
        found.append(f"{banned} is everybody, apps included; {take_back}")
    elif any(_overlap(network, one) for one in _LOOPBACK):
        found.append(
            f"{banned} holds addresses of this machine: a proxy, a monitor or an app here is "
            f"banned, too; {take_back}"
        )
    elif any(_overlap(network, one) for one in _PRIVATE):
        found.append(
            f"{banned} holds private addresses: proxies, containers and apps of your own networks "
            f"have such ones, and visitors from the internet do not; {take_back}"
        )
    return found


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _checked(reason: str) -> str:
    if len(reason) > MAX_REASON or not reason.isprintable():
        why = f"expected one line of at most {MAX_REASON} characters, got {shown(reason)}"
        raise EdgeConfigError("--reason", why, "write a few words")
    return reason
