"""Whom one policy lets in."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.access.identity import Identity, Method
from asgi_tunnel_edge.access.policy import Policy
from asgi_tunnel_edge.settings.access import AccessConfig


def identity(
    method: Method = "password", *, email: str = "", groups: tuple[str, ...] = ()
) -> Identity:
    """Somebody who has logged in."""
    return Identity("user:anna", "anna", email, groups, method, 0, "")


@pytest.mark.parametrize(
    ("config", "groups", "admitted"),
    [
        (AccessConfig(), (), False),
        (AccessConfig(users=("anna",)), (), True),
        (AccessConfig(users=("ben",)), (), False),
        (AccessConfig(users=("*",)), (), True),
        (AccessConfig(groups=("family",)), ("family", "x"), True),
        (AccessConfig(groups=("family",)), ("x",), False),
        (AccessConfig(users=("anna",), methods=("passkey",)), (), False),
        (AccessConfig(emails=("*",), domains=("a.test",)), (), False),
    ],
)
def test_users(config: AccessConfig, groups: tuple[str, ...], admitted: bool) -> None:
    """By name or group; an address that a user has says nothing, for nobody has checked it."""
    policy = Policy("p", config)
    assert policy.admits(identity(email="x@a.test", groups=groups), "anna", None) is admitted


@pytest.mark.parametrize(
    ("config", "email", "groups", "admitted"),
    [
        (AccessConfig(), "a@a.test", (), False),
        (AccessConfig(emails=("A@a.test",)), "a@A.test", (), True),
        (AccessConfig(emails=("a@a.test",)), "b@a.test", (), False),
        (AccessConfig(domains=("a.test",)), "b@a.test", (), True),
        (AccessConfig(domains=("a.test",)), "b@x.a.test", (), False),
        (AccessConfig(domains=("a.test",)), "b@evil-a.test", (), False),
        (AccessConfig(domains=("a.test",)), "", (), False),
        (AccessConfig(emails=("*",)), "", (), True),
        (AccessConfig(groups=("staff",)), "", ("staff",), True),
        (AccessConfig(users=("*", "anna")), "a@a.test", (), False),
        (AccessConfig(emails=("*",), providers=("other",)), "a@a.test", (), False),
        (AccessConfig(emails=("*",), providers=("google",)), "a@a.test", (), True),
        (AccessConfig(emails=("*",), methods=("password",)), "a@a.test", (), False),
    ],
)
def test_strangers(
    config: AccessConfig, email: str, groups: tuple[str, ...], admitted: bool
) -> None:
    """By address, its domain or a group, of a provider that is asked; never by a user's name."""
    who = identity("oidc", email=email, groups=groups)
    assert Policy("p", config).admits(who, None, "google") is admitted


def test_somebody_whom_nobody_vouches_for_is_nobody() -> None:
    """Neither a user nor of a provider."""
    policy = Policy("p", AccessConfig(users=("*",), emails=("*",), groups=("g",)))
    assert not policy.admits(identity(groups=("g",)), None, None)
