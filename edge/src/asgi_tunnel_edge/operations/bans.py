"""Bans: shut addresses out, show who is and why, and let them in again."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from asgi_tunnel_edge.ban import MAX_REASON, BanRecord, ScannerBan, token_of
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.network import normalise_network
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import parse_duration

from .texts import shell_command, utc_second

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig, Network

__all__ = [
    "AddedBan",
    "Ban",
    "BanView",
    "NewBan",
    "add_ban",
    "ban_view",
    "list_bans",
    "remove_bans",
]

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


class NewBan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ban to make."""

    address: str  #: an IP address or a network
    lifetime: str | None = None  #: 90d, 12h or 30m from now; None: until it is taken back
    reason: str = ""


class AddedBan(Struct, frozen=True, kw_only=True):
    """A ban that was made."""

    record: BanRecord
    warnings: tuple[str, ...]  #: why it may shut out others than those who are meant


class Ban(Struct, frozen=True, kw_only=True):
    """A ban that holds, whoever has made it."""

    record: BanRecord | ScannerBan
    by: Literal["operator", "scanner", "app"]
    token_id: str | None  #: from whose hostnames; empty: of names that no token has; None: from all
    token: str | None  #: the name of that token


class BanView(Struct, frozen=True, kw_only=True):
    """What a program is told of a ban."""

    address: str
    created_at: str | None
    expires_at: str | None
    by: str
    owner: str | None  #: the token from whose hostnames it shuts out
    reason: str


def add_ban(config: EdgeConfig, new: NewBan, *, asked_from: str | None = None) -> AddedBan:
    """Ban an address or a network, in place of a ban of the same one.

    Args:
        config: Of the edge.
        new: What is wanted.
        asked_from: The address of who asks over the network: they do not shut themselves out.

    Raises:
        EdgeConfigError: Address, time or reason are none, or who asks would be banned.
        TooManyBansError: There is no room for another one.
    """
    address = normalise_network(new.address, setting="ADDRESS")
    if asked_from is not None:
        _check_not_own(address, asked_from)
    seconds = None if new.lifetime is None else parse_duration(new.lifetime, setting="--for")
    now = int(time.time())
    record = BanRecord(
        address=address,
        created_at=now,
        expires_at=None if seconds is None else now + seconds,
        reason=_checked(new.reason),
    )
    Store(config.database).add_ban(record)
    return AddedBan(record=record, warnings=tuple(_warnings(config, address)))


def list_bans(config: EdgeConfig) -> list[Ban]:
    """Return the bans that hold now, oldest first."""
    snapshot = Store(config.database).snapshot()
    now = time.time()
    records: list[BanRecord | ScannerBan] = [*snapshot.bans, *snapshot.scanner_bans]
    holding = [one for one in records if not one.is_over(now)]
    found = []
    for record in sorted(holding, key=lambda one: one.created_at):
        token_id = _token_id(record)
        token = snapshot.tokens.get(token_id or "")
        name = None if token is None else token.name
        found.append(Ban(record=record, by=_by(record), token_id=token_id, token=name))
    return found


def remove_bans(
    config: EdgeConfig, addresses: Sequence[str], *, token_ids: Collection[str] | None = None
) -> list[str]:
    """Take bans back, all or none: of the operator, the scanner guard and apps.

    Args:
        config: Of the edge.
        addresses: Addresses and networks, as they were banned.
        token_ids: Only bans from the hostnames of these tokens; None: all.

    Returns:
        The addresses in their one spelling.

    Raises:
        EdgeConfigError: One is no address.
        BanNotFoundError: One is not banned.
    """
    wanted = [normalise_network(one, setting="ADDRESS") for one in addresses]
    Store(config.database).remove_bans(wanted, token_ids=token_ids)
    return wanted


def ban_view(ban: Ban) -> BanView:
    """Return what a program is told of a ban."""
    record = ban.record
    return BanView(
        address=record.address,
        created_at=utc_second(record.created_at),
        expires_at=utc_second(record.expires_at),
        by=ban.by,
        owner=ban.token,
        reason=record.reason,
    )


def _by(record: BanRecord | ScannerBan) -> Literal["operator", "scanner", "app"]:
    if isinstance(record, BanRecord):
        return "operator"
    return "scanner" if token_of(record.owner) is None else "app"


def _token_id(record: BanRecord | ScannerBan) -> str | None:
    """The id of a token; empty: nobody; None: the ban is the operator's."""
    if isinstance(record, BanRecord):
        return None
    token_id = token_of(record.owner)
    return record.owner if token_id is None else token_id


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


def _check_not_own(banned: str, asked_from: str) -> None:
    """See that a ban does not shut out who asks for it."""
    own, network = normalise_network(asked_from, setting="ADDRESS"), ip_network(banned)
    if _overlap(ip_network(own), network):
        why = f"{banned} holds {asked_from}, from which you ask: you would be shut out"
        raise EdgeConfigError("ADDRESS", why, "ban it with the command line if that is meant")


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _checked(reason: str) -> str:
    if len(reason) > MAX_REASON or not reason.isprintable():
        why = f"expected one line of at most {MAX_REASON} characters, got {shown(reason)}"
        raise EdgeConfigError("--reason", why, "write a few words")
    return reason
