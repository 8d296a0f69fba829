"""``[dashboard]``: where this edge's own pages are, and who may do what there.

What follows from it is decided in the package ``dashboard``. The door in front of it is one of
``[access]``, by the name :data:`POLICY`, that nobody has to write; ``config`` adds it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from ..errors import EdgeConfigError, HostnameError, shown
from ..hostname import normalise_hostname
from .access import AccessConfig
from .addresses import parse_listen
from .guards import HostnameConfig
from .types import Text

__all__ = [
    "LOCAL_NAME",
    "POLICY",
    "DashboardConfig",
    "check_dashboard",
    "check_not_reserved",
    "dashboard_doors",
    "dashboard_policy",
]

POLICY: Final = "dashboard"
"""The policy of the dashboard's door: what ``service-token create --access`` names."""

LOCAL_NAME: Final = "localhost"
"""The hostname of the dashboard on an address of its own: browsers take it for a safe place."""

SESSION: Final = 43_200.0
"""Seconds from a login at the dashboard to the next one: a working day, not a month."""

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request to the dashboard: the largest is a file of some recorded requests."""

Names = Annotated[tuple[str, ...], Meta(description="a list of names", examples=[["anna"]])]
Ways = Annotated[
    tuple[Literal["password", "passkey", "oidc", "token"], ...],
    Meta(
        description='a list of "password", "passkey", "oidc" and "token"',
        examples=[["passkey", "token"]],
    ),
]


class DashboardConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[dashboard]``. Without ``hostname`` and ``listen`` there is none, and nothing is loaded."""

    hostname: Annotated[Text, Meta(description="a hostname", examples=["admin.example.org"])] | (
        None
    ) = None  #: no token's
    listen: Annotated[Text, Meta(description="HOST:PORT", examples=["127.0.0.1:9181"])] | None = (
        None  #: of this machine only
    )
    operators: Names = ()  #: users of this edge, or e-mail addresses that a provider has verified
    operator_groups: Names = ()  #: of this edge's users, or as a provider names them
    methods: Ways = ("passkey", "password", "oidc", "token")

    @property
    def is_on(self) -> bool:
        """Whether there is a dashboard."""
        return self.hostname is not None or self.listen is not None


def check_dashboard(
    settings: DashboardConfig,
    *,
    policies: Collection[str],
    hostnames: Mapping[str, HostnameConfig],
    file: str,
) -> DashboardConfig:
    """Check what types cannot say; return the settings with their hostname in its one spelling.

    Args:
        settings: As read.
        policies: The names that ``[access]`` has.
        hostnames: The tables of hostnames.
        file: The file's name, for errors.

    Raises:
        EdgeConfigError: A value makes no sense.
    """
    if not settings.is_on:
        return settings
    if POLICY in policies:
        why = "is the name of the dashboard's own door"
        fix = "give this policy another name, or say who comes in under [dashboard]"
        raise EdgeConfigError(f"access.{POLICY}", why, fix, file=file)
    if settings.listen is not None:
        _check_loopback(settings.listen, file)
    if settings.hostname is None:
        return settings
    name = _normal(settings.hostname, file)
    own = hostnames.get(name)
    if own is not None and (own.access is not None or own.access_paths):
        setting = "access" if own.access is not None else "access_paths"
        why = "is set, and the dashboard has a door of its own"
        fix = "take it out, and name who comes in under [dashboard]"
        raise EdgeConfigError(f"hostnames.{shown(name)}.{setting}", why, fix, file=file)
    return replace(settings, hostname=name)


def dashboard_policy(settings: DashboardConfig) -> AccessConfig:
    """Return the door of the dashboard: who has a login of this edge passes it.

    What they see there is decided behind it. Of those whom only a provider vouches for, the
    operators pass: a provider may know everybody.
    """
    return AccessConfig(
        users=("*",),
        groups=settings.operator_groups,
        emails=tuple(one for one in settings.operators if "@" in one),
        methods=settings.methods,
        session=SESSION,
    )


def dashboard_doors(
    settings: DashboardConfig, hostnames: Mapping[str, HostnameConfig]
) -> dict[str, HostnameConfig]:
    """Return the tables of the hostnames that the dashboard has, as the guards are to read them.

    Args:
        settings: Checked.
        hostnames: What ``edge.toml`` says of them besides, such as ``allow``.
    """
    names = [settings.hostname] if settings.hostname is not None else []
    if settings.listen is not None:
        names.append(LOCAL_NAME)
    found = {}
    for name in names:
        own = hostnames.get(name, HostnameConfig())
        bound = own.max_body or MAX_BODY  # 0 is no bound, and forms are read into memory
        found[name] = replace(own, access=POLICY, access_paths={}, max_body=bound)
    return found


def check_not_reserved(settings: DashboardConfig, names: Collection[str], *, setting: str) -> None:
    """See that no token gets the dashboard's hostname.

    Args:
        settings: Of the edge.
        names: Normal hostnames and wildcards that a token is to have.
        setting: What they are called where they were given, for the error.

    Raises:
        EdgeConfigError: One of them is the dashboard's.
    """
    if settings.hostname is not None and settings.hostname in names:
        why = f"{settings.hostname} is the dashboard's hostname, which the edge serves itself"
        fix = "take another one, or change [dashboard] in edge.toml"
        raise EdgeConfigError(setting, why, fix)


def _check_loopback(listen: str, file: str) -> None:
    address = parse_listen(listen, setting="dashboard.listen", file=file)
    try:
        is_local = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        is_local = address.host == LOCAL_NAME
    if not is_local:
        why = f"is {shown(listen)}, and this address speaks plain HTTP, so it is for this machine"
        fix = 'write "127.0.0.1:9181", or give the dashboard a hostname'
        raise EdgeConfigError("dashboard.listen", why, fix, file=file)


def _normal(hostname: str, file: str) -> str:
    try:
        name = normalise_hostname(hostname)
    except HostnameError as error:
        fix = 'write for example "admin.example.org"'
        raise EdgeConfigError("dashboard.hostname", error.why, fix, file=file) from error
    if name == LOCAL_NAME:
        why = "is localhost, which is the name at `listen`"
        fix = 'write listen = "127.0.0.1:9181" in its place'
        raise EdgeConfigError("dashboard.hostname", why, fix, file=file)
    return name
