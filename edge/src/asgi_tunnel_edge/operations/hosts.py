"""Hostnames: give them to tokens, take them back, close them for visitors and open them again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.maintenance import (
    MAX_ALLOWED,
    MaintenanceRecord,
    check_message,
    parse_until,
)
from asgi_tunnel_edge.network import normalise_network
from asgi_tunnel_edge.settings.dashboard import check_not_reserved
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord

from .doors import check_no_door
from .texts import utc_second
from .tokens import check_end_to_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig
    from asgi_tunnel_edge.tokens import Snapshot

__all__ = [
    "AddedHosts",
    "HostView",
    "MaintenanceView",
    "NewMaintenance",
    "add_hosts",
    "close_hosts",
    "host_views",
    "open_hosts",
    "remove_hosts",
]


class AddedHosts(Struct, frozen=True, kw_only=True):
    """Hostnames that a token has now, too."""

    record: TokenRecord
    added: tuple[str, ...]
    urls: tuple[str, ...]


class NewMaintenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hostnames are to be closed."""

    message: str = ""  #: what visitors read
    until: str | None = None  #: 90m, 2h, or a time with its zone
    allow: tuple[str, ...] = ()  #: addresses and networks that are let in


class MaintenanceView(Struct, frozen=True, kw_only=True):
    """What a program is told of a hostname that is closed."""

    since: str | None
    message: str
    until: str | None
    allow: tuple[str, ...]


class HostView(Struct, frozen=True, kw_only=True):
    """What a program is told of a hostname."""

    hostname: str
    url: str
    token: str  #: the name
    token_id: str
    end_to_end: bool
    maintenance: MaintenanceView | None


def add_hosts(
    config: EdgeConfig,
    token: str,
    hostnames: Sequence[str],
    *,
    end_to_end: bool = False,
    unchecked: bool = False,
) -> AddedHosts:
    """Let a token serve more hostnames, all or none. It may ask the DNS, for some seconds.

    Args:
        config: Of the edge.
        token: Its id or name.
        hostnames: Names and wildcards.
        end_to_end: Their TLS ends in the app.
        unchecked: Do not look whether they lead to this edge.

    Raises:
        EdgeConfigError: A hostname is none, or cannot be end to end.
        HostnameElsewhereError: The DNS leads one elsewhere.
        HostnameTakenError: A token has one of them.
        TokenNotFoundError: The token is unknown.
        TokenRevokedError: It is revoked.
        TooManyHostnamesError: It would have more than fit.
    """
    if end_to_end:
        check_end_to_end(config)
    names = list(dict.fromkeys(normalise_hostname(host, wildcard=True) for host in hostnames))
    check_not_reserved(config.dashboard, names, setting="HOST")
    if end_to_end:
        check_no_door(config, names)
    store = Store(config.database)
    store.check_hostnames(token, names)  # before the DNS is asked: that takes its time
    if not unchecked:
        asyncio.run(_check_pointing(config.domain, names))
    record = store.add_hostnames(token, names, end_to_end=end_to_end)
    address = public_address(config)
    urls = tuple(address.visitor_url(host) for host in names)
    return AddedHosts(record=record, added=tuple(names), urls=urls)


def remove_hosts(config: EdgeConfig, hostnames: Sequence[str]) -> list[tuple[str, str]]:
    """Take hostnames from their tokens, all or none.

    Returns:
        Each hostname, and the name of the token that had it.

    Raises:
        HostnameError: One is none.
        HostnameNotFoundError: No token has one of them.
    """
    return Store(config.database).remove_hostnames(_normal(hostnames))


def close_hosts(
    config: EdgeConfig, hostnames: Sequence[str], new: NewMaintenance
) -> list[MaintenanceRecord]:
    """Close hostnames for visitors, all or none.

    Raises:
        EdgeConfigError: Message, time or addresses are none; or TLS of one ends in the app.
        HostnameNotFoundError: No token has one of them.
    """
    now = int(time.time())
    names = _normal(hostnames)
    networks = [normalise_network(one, setting="--allow") for one in new.allow]
    if len(networks) > MAX_ALLOWED:
        why = f"there are more than {MAX_ALLOWED} addresses"
        raise EdgeConfigError("--allow", why, "name a network in their place")
    records = [
        MaintenanceRecord(
            hostname=name,
            since=now,
            message=check_message(new.message),
            until=None if new.until is None else parse_until(new.until, now=now),
            allow=tuple(dict.fromkeys(networks)),
        )
        for name in dict.fromkeys(names)
    ]
    store = Store(config.database)
    _check_readable(store, names)
    store.begin_maintenance(records)
    return records


def open_hosts(config: EdgeConfig, hostnames: Sequence[str]) -> dict[str, bool]:
    """Open hostnames for visitors again, all or none.

    Returns:
        Each hostname, and whether it was closed.

    Raises:
        HostnameNotFoundError: No token has one of them.
    """
    names = _normal(hostnames)
    opened = Store(config.database).end_maintenance(names)
    return {name: name in opened for name in names}


def host_views(config: EdgeConfig, snapshot: Snapshot) -> list[HostView]:
    """Return all hostnames, sorted.

    Raises:
        EdgeConfigError: The edge's address is not known.
    """
    address = public_address(config)
    closings = {one.hostname: maintenance_view(one) for one in snapshot.maintenance}
    return [
        HostView(
            hostname=name,
            url=address.visitor_url(name),
            token=record.name,
            token_id=record.id,
            end_to_end=name in record.end_to_end,
            maintenance=closings.get(name),
        )
        for name, record in sorted(snapshot.owners.items())
    ]


def maintenance_view(record: MaintenanceRecord) -> MaintenanceView:
    """Return what a program is told of a hostname that is closed."""
    return MaintenanceView(
        since=utc_second(record.since),
        message=record.message,
        until=utc_second(record.until),
        allow=record.allow,
    )


def _normal(hostnames: Sequence[str]) -> list[str]:
    return [normalise_hostname(host, wildcard=True) for host in hostnames]


def _check_readable(store: Store, names: Sequence[str]) -> None:
    """See that the edge itself can respond to visitors of these hostnames.

    Raises:
        EdgeConfigError: TLS of one ends in the app.
    """
    owners = store.snapshot().owners
    for name in names:
        record = owners.get(name)
        if record is not None and name in record.end_to_end:
            why = f"the TLS of {name} ends in the app, so this edge cannot show a page there"
            raise EdgeConfigError("HOST", why, "let the app itself show one")


async def _check_pointing(domain: str, names: Sequence[str]) -> None:
    # Here, not above: dnspython takes a tenth of a second, of every command.
    from asgi_tunnel_edge.certificates.dns.lookup import Lookup
    from asgi_tunnel_edge.certificates.dns.pointing import check_pointing, is_below

    lookup = Lookup()
    for name in names:
        if not is_below(name, domain):
            await check_pointing(name, domain, lookup)
