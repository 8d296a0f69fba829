"""What a token may take: the edge's default, or its own."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.quotas import (
    QUOTA_NAMES,
    TokenLimiter,
    TokenLimits,
    TokenQuotas,
    format_quota,
    parse_quota,
    share_of,
)
from asgi_tunnel_edge.settings.config import Limits


def test_a_token_without_quotas_has_the_defaults() -> None:
    """They follow from [limits]: the number of tunnels, a quarter of the memory."""
    limiter = TokenLimiter(Limits(max_tunnels_per_token=9, max_buffered_bytes=400 * 2**20))
    limits = limiter.of(TokenQuotas())
    assert limits is limiter.default
    assert (limits.max_tunnels, limits.max_pending, limits.max_memory) == (9, 64, 100 * 2**20)


@pytest.mark.parametrize("name", QUOTA_NAMES)
def test_a_quota_takes_the_place_of_its_default(name: str) -> None:
    """Of its own alone."""
    limiter = TokenLimiter(Limits())
    changed = limiter.of(TokenQuotas(**{name: 7}))
    assert changed == limiter.default._replace(**{name: 7})


def test_every_quota_has_an_effective_value() -> None:
    """The two classes have the same names."""
    assert TokenLimits._fields == QUOTA_NAMES


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_tunnels", "1", 1),
        ("max_visitors", "2147483648", 2**31),
        ("max_memory", "64MiB", 64 * 2**20),
        ("max_memory", "2GiB", 2 * 2**30),
        ("max_memory", "1048576", 2**20),
        ("max_frames", "default", None),
    ],
)
def test_quotas_as_they_are_typed(name: str, text: str, value: int | None) -> None:
    """Whole numbers, sizes with a unit, and the word that takes a quota back."""
    assert parse_quota(name, text) == value
    if value is not None:
        assert parse_quota(name, format_quota(name, value)) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_tunnels", "0"),
        ("max_tunnels", "-1"),
        ("max_tunnels", "1.5"),
        ("max_tunnels", "\u0661"),
        ("max_tunnels", "64MiB"),
        ("max_tunnels", "2147483649"),
        ("max_tunnels", ""),
        ("max_memory", "64MB"),
        ("max_memory", "512KiB"),
        ("max_memory", "9999999999999999"),
        ("max_memory", "64 MiB"),
    ],
)
def test_what_is_no_quota(name: str, text: str) -> None:
    """One sentence that names the option."""
    with pytest.raises(EdgeConfigError) as caught:
        parse_quota(name, text)
    assert str(caught.value).startswith(f"--{name.replace('_', '-')}: expected a ")
    assert "\n" not in str(caught.value)


def test_several_processes() -> None:
    """Each has an equal part of every pool, rounded up, and a few tunnels of each token."""
    whole = Limits(max_connections=10, max_tunnels_per_token=256, max_body=77)
    assert share_of(whole, 1) is whole
    part = share_of(whole, 4)
    assert (part.max_connections, part.max_tunnels_per_token, part.max_body) == (3, 64, 77)
    assert part.max_buffered_bytes == 64 * 2**20
    limits = TokenLimiter(part, 4).of(TokenQuotas(max_tunnels=6, max_visitors=10, max_frames=9))
    assert (limits.max_tunnels, limits.max_visitors, limits.max_frames) == (4, 3, 9)
    for tunnels, own in ((1, 1), (3, 3), (4, 4), (40, 10)):
        assert share_of(Limits(max_tunnels_per_token=tunnels), 4).max_tunnels_per_token == own
