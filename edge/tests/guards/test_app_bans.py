"""Bans that apps make: whose names they hold for, what is refused, and what the store gets."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel_edge.ban import MAX_APP_BANS, MAX_TOKEN_BANS, ScannerBan
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

from .conftest import VISITOR, World, make_world


def token(name: str) -> TokenRecord:
    """A token with one hostname."""
    return TokenRecord(
        id=f"tok_{name}",
        name=name,
        secret_sha256="",
        hostnames=(f"{name}.a.test",),
        created_at=0,
    )


SHOP, BLOG = token("shop"), token("blog")


@pytest.fixture
def world() -> World:
    """Guards of an edge with two tokens."""
    world = make_world(exempt=["192.0.2.0/24", "2001:db8:1::/48"])
    world.guards.apply(Snapshot.of(1, [SHOP, BLOG]))
    return world


def ban(world: World, who: Any = VISITOR, *, of: TokenRecord = SHOP, **values: Any) -> Any:
    """Ask for a ban; return the reply's code, or True."""
    reply = world.guards.answer(of, {"ban": who, "seconds": 60, **values})
    return reply["ok"] or reply["code"]


def stored(world: World) -> list[ScannerBan]:
    """What the store would be given."""
    found = world.guards.unsaved()
    world.guards.saved()
    return found


def test_a_ban_holds_for_the_names_of_its_token(world: World) -> None:
    """At once, for a while, and for nobody else; the connection is kept."""
    assert ban(world) is True
    reply = world.ask()
    assert reply is not None
    assert (reply.status, reply.reason, reply.closes) == (403, "banned", False)
    assert world.status(host="blog.a.test") == 0
    assert world.status(address="203.0.113.8") == 0
    world.wait(61)
    assert world.status() == 0
    assert world.guards.counts()["app_bans"] == 1


def test_nobody_is_asked_while_nobody_is_banned(world: World) -> None:
    """Without bans a request does not pay for the guard."""
    guards = world.guards
    assert guards.app_bans not in guards._guards
    ban(world)
    assert guards.app_bans in guards._guards
    guards.answer(SHOP, {"allow": VISITOR})
    assert guards.app_bans not in guards._guards


def test_networks_and_ipv6(world: World) -> None:
    """A network is one ban; an IPv6 address is its /64."""
    assert ban(world, "203.0.113.0/24") is True
    assert world.status(address="203.0.113.200") == 403
    assert world.guards.answer(SHOP, {"ban": "2001:db8:2::1", "seconds": 60}) == {
        "ok": True,
        "address": "2001:db8:2::/64",
    }
    assert world.status(address="2001:db8:2::ffff") == 403
    assert world.status(address="2001:db8:2:1::1") == 0


@pytest.mark.parametrize(
    ("who", "values", "code"),
    [
        ("192.0.2.7", {}, "exempt"),
        ("192.0.0.0/16", {}, "exempt"),
        ("2001:db8:1:2::3", {}, "exempt"),
        ("0.0.0.0/0", {}, "address"),
        ("128.0.0.0/15", {}, "address"),
        ("::/0", {}, "address"),
        ("example.org", {}, "address"),
        ("", {}, "address"),
        (7, {}, "address"),
        (None, {}, "address"),
        (VISITOR, {"seconds": 0}, "seconds"),
        (VISITOR, {"seconds": 31 * 86400}, "seconds"),
        (VISITOR, {"seconds": "60"}, "seconds"),
        (VISITOR, {"seconds": float("nan")}, "seconds"),
    ],
)
def test_what_is_refused(world: World, who: Any, values: dict[str, Any], code: str) -> None:
    """T112: with a word, and nothing is banned."""
    assert ban(world, who, **values) == code
    assert len(world.guards.app_bans) == 0


def test_an_ask_about_nothing(world: World) -> None:
    """Is refused, and not a defect."""
    assert world.guards.answer(SHOP, {})["ok"] is False


def test_the_bans_of_one_token_have_a_bound(world: World) -> None:
    """T112: a full table takes what replaces one of its own, and what comes when one is over."""
    for number in range(MAX_TOKEN_BANS):
        world.wait(0.05)
        assert ban(world, f"10.0.{number // 250}.{number % 250}", seconds=3600) is True
    world.wait(0.05)
    assert ban(world, "10.9.9.9") == "quota"
    world.wait(0.05)
    assert ban(world, "10.0.0.0", seconds=100) is True
    world.wait(0.05)
    assert ban(world, of=BLOG) is True
    world.wait(3600)
    assert ban(world, "10.9.9.9") is True
    assert len(world.guards.app_bans) == 1


def test_one_token_fills_the_table_for_itself_alone(world: World) -> None:
    """T112: where all places are taken, the token with the most gives one up."""
    tokens = [token(f"t{number}") for number in range(MAX_APP_BANS // MAX_TOKEN_BANS)]
    world.guards.apply(Snapshot.of(2, [SHOP, *tokens]))
    for number in range(MAX_TOKEN_BANS):
        world.wait(0.05)
        for one in tokens:
            assert ban(world, f"10.0.{number // 250}.{number % 250}", of=one) is True
    assert len(world.guards.app_bans) == MAX_APP_BANS
    assert ban(world) is True
    assert world.status() == 403
    assert len(world.guards.app_bans) == MAX_APP_BANS


def test_bans_too_fast(world: World) -> None:
    """T112: 200 at once, then 20 a second, of one token."""
    codes = [ban(world) for _ in range(220)]
    assert codes[:200] == [True] * 200
    assert set(codes[-10:]) == {"busy"}
    assert ban(world, of=BLOG) is True
    world.wait(1)
    assert ban(world) is True


def test_the_store_follows(world: World) -> None:
    """A ban and its end are written under the token's own name, and read back."""
    ban(world, reason="a\x1breason")
    (written,) = stored(world)
    assert (written.address, written.owner, written.reason) == (VISITOR, "app:tok_shop", "a?reason")
    assert written.expires_at - written.created_at in (60, 61)
    assert stored(world) == []
    world.guards.apply(Snapshot.of(2, [SHOP, BLOG], scanner_bans=[written]))
    assert world.status() == 403
    world.guards.answer(SHOP, {"allow": VISITOR})
    assert world.status() == 0
    world.guards.apply(
        Snapshot.of(3, [SHOP, BLOG], scanner_bans=[written])
    )  # before it was written
    assert world.status() == 0
    (over,) = stored(world)
    assert over.is_over(over.created_at)
    world.guards.apply(Snapshot.of(4, [SHOP, BLOG]))
    assert world.status() == 0


def test_a_ban_of_the_store_that_the_operator_took_back(world: World) -> None:
    """It is gone with the next snapshot; and so are those of a token that is gone."""
    ban(world)
    (written,) = stored(world)
    world.guards.apply(Snapshot.of(2, [SHOP, BLOG]))
    assert world.status() == 0
    world.guards.apply(Snapshot.of(3, [BLOG], scanner_bans=[written]))
    assert len(world.guards.app_bans) == 0
    assert len(world.guards.scanner) == 0  # and it is none of the scanner guard's


def test_visitors_whose_requests_cannot_be_read(world: World) -> None:
    """Of an end-to-end hostname the connection is turned away."""
    assert not world.guards.denies_address(VISITOR, "shop.a.test")
    ban(world)
    assert world.guards.denies_address(VISITOR, "shop.a.test")
    assert not world.guards.denies_address(VISITOR, "blog.a.test")
