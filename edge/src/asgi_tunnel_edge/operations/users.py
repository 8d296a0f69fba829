"""Users: who may log in at doors, and with what."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from asgi_tunnel_edge.access.doors import ACCESS_PATH
from asgi_tunnel_edge.access.passwords import check_password, hash_password
from asgi_tunnel_edge.accounts import UserRecord, check_account_name, check_email, check_groups
from asgi_tunnel_edge.address import door_url
from asgi_tunnel_edge.errors import AccountError, EdgeConfigError
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.users import MAX_INVITATION
from asgi_tunnel_edge.tokens import new_secret, parse_duration, secret_digest

from .doors import DoorMap
from .sessions import SessionView, session_view
from .texts import utc_second

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "ChangedUser",
    "Invitation",
    "NewUser",
    "PasskeyView",
    "UserDetail",
    "UserView",
    "change_user",
    "create_user",
    "end_user_sessions",
    "invitation_hosts",
    "invite_user",
    "is_let_in_nowhere",
    "list_users",
    "remove_user",
    "show_user",
]

INVITE_PATH: Final = f"{ACCESS_PATH}invite/"


class NewUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user to make."""

    name: str
    email: str = ""
    groups: tuple[str, ...] = ()
    password: str | None = None  #: None: an invitation is what they log in with first


class ChangedUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a user; None: it stays."""

    email: str | None = None  #: empty: none any more
    groups: tuple[str, ...] | None = None  #: all of them
    disabled: bool | None = None
    password: str | None = None


class UserView(Struct, frozen=True, kw_only=True):
    """What a program is told of a user."""

    name: str
    email: str
    groups: tuple[str, ...]
    created_at: str | None
    disabled_at: str | None
    has_password: bool
    passkeys: int


class PasskeyView(Struct, frozen=True, kw_only=True):
    """One passkey of a user."""

    hostname: str
    label: str
    created_at: str | None
    last_used_at: str | None


class UserDetail(UserView, frozen=True, kw_only=True):
    """One user, with what is theirs."""

    access: tuple[str, ...]  #: the policies that let them in
    keys: tuple[PasskeyView, ...]
    sessions: tuple[SessionView, ...]


class Invitation(Struct, frozen=True, kw_only=True):
    """A link with which a user sets a password or makes a passkey, once."""

    name: str
    url: str
    expires_at: str | None


def create_user(config: EdgeConfig, new: NewUser) -> UserView:
    """Make a user.

    Raises:
        EdgeConfigError: Name, address, groups or password are none.
        AccountError: There is one of the name, or there are too many.
    """
    record = UserRecord(
        name=check_account_name(new.name),
        email=check_email(new.email) if new.email else "",
        groups=check_groups(new.groups),
        created_at=int(time.time()),
    )
    password = _hashed(new.password)
    AccessStore(config.database).create_user(record, password=password)
    return _view(record, password is not None, 0)


def change_user(config: EdgeConfig, name: str, change: ChangedUser) -> UserView:
    """Change what is given of a user; a password or ``disabled`` ends their sessions.

    Raises:
        EdgeConfigError: Address, groups or password are none.
        AccountError: There is no such user.
    """
    store = AccessStore(config.database)
    store.change_user(
        name,
        password=_hashed(change.password),
        email=check_email(change.email) if change.email else change.email,
        groups=None if change.groups is None else check_groups(change.groups),
        disabled=change.disabled,
    )
    return _find(store, name)


def remove_user(config: EdgeConfig, name: str) -> None:
    """Forget a user, the passkeys and the sessions.

    Raises:
        AccountError: There is no such user, or the user owns tokens.
    """
    AccessStore(config.database).remove_user(name)


def end_user_sessions(config: EdgeConfig, name: str) -> None:
    """End all sessions of a user, on all hostnames and devices.

    Raises:
        AccountError: There is no such user.
    """
    AccessStore(config.database).end_sessions_of(name)


def invite_user(
    config: EdgeConfig, name: str, *, expires: str = "7d", hostname: str | None = None
) -> Invitation:
    """Make a link with which a user sets a password or makes a passkey, once.

    Args:
        config: Of the edge.
        name: Of the user.
        expires: From now, 7 days at most.
        hostname: Where it leads; None: the only one that has a door.

    Raises:
        EdgeConfigError: The time is too long, or the hostname has no door.
        AccountError: There is no such user.
    """
    lifetime = parse_duration(expires, setting="--expires")
    if lifetime > MAX_INVITATION:
        why = "an invitation lives for at most 7 days"
        raise EdgeConfigError("--expires", why, "make a new one when it is over")
    host = _hostname(DoorMap.load(config), hostname)
    secret = new_secret()
    until = int(time.time()) + lifetime
    AccessStore(config.database).invite(name, secret_digest(secret), expires_at=until)
    url = f"{door_url(config, host)}{INVITE_PATH}{secret}"
    return Invitation(name=name, url=url, expires_at=utc_second(until))


def list_users(config: EdgeConfig) -> list[UserView]:
    """Return all users, sorted."""
    return [_view(*one) for one in AccessStore(config.database).users()]


def show_user(config: EdgeConfig, name: str) -> UserDetail:
    """Return one user, with passkeys, sessions and the policies that let the user in.

    Raises:
        AccountError: There is no such user.
    """
    store = AccessStore(config.database)
    user = _find(store, name)
    policies = _policies_for(config, name, user.groups)
    keys = tuple(
        PasskeyView(
            hostname=hostname,
            label=label,
            created_at=utc_second(made),
            last_used_at=utc_second(used),
        )
        for _, hostname, label, made, used in store.passkeys(name)
    )
    sessions = tuple(session_view(one) for one in store.sessions(subject=f"user:{name}"))
    return UserDetail(**structs.asdict(user), access=policies, keys=keys, sessions=sessions)


def is_let_in_nowhere(config: EdgeConfig, user: UserView) -> bool:
    """Whether no policy in ``edge.toml`` lets a user in."""
    return not _policies_for(config, user.name, user.groups)


def _policies_for(config: EdgeConfig, name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        policy
        for policy, rule in config.policies.items()
        if {name, "*"} & {*rule.users} or {*groups} & {*rule.groups}
    )


def invitation_hosts(doors: DoorMap) -> list[str]:
    """Return the hostnames that an invitation may lead to, sorted: those with a door."""
    return [name for name in doors.hostnames() if doors.door(name) and not name.startswith("*.")]


def _find(store: AccessStore, name: str) -> UserView:
    for record, has_password, passkeys in store.users():
        if record.name == name:
            return _view(record, has_password, passkeys)
    fix = "list them with `asgi-tunnel-edge user list`"
    raise AccountError(name, "is no user of this edge", fix, is_missing=True)


def _view(record: UserRecord, has_password: bool, passkeys: int) -> UserView:
    return UserView(
        name=record.name,
        email=record.email,
        groups=record.groups,
        created_at=utc_second(record.created_at),
        disabled_at=utc_second(record.disabled_at),
        has_password=has_password,
        passkeys=passkeys,
    )


def _hashed(password: str | None) -> str | None:
    return None if password is None else hash_password(check_password(password))


def _hostname(doors: DoorMap, host: str | None) -> str:
    """Where an invitation leads.

    Raises:
        EdgeConfigError: It has no door, or several could be meant.
    """
    if host is not None:
        name = normalise_hostname(host)
        if doors.door(name) is None:
            why = f"{name} has no door"
            raise EdgeConfigError("--host", why, 'write access = "NAME" for it in edge.toml')
        return name
    names = invitation_hosts(doors)
    if len(names) != 1:
        why = f"{len(names)} hostnames have a door" if names else "no hostname has a door yet"
        fix = "name one of them" if names else "see docs/howto/access.md"
        raise EdgeConfigError("--host", why, fix)
    return names[0]
