from __future__ import annotations

import pytest

from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel_edge.guards import app_policy
from asgi_tunnel_edge.guards.app_policy import MAX_NOTES, AppPolicyGuard, stricter
from asgi_tunnel_edge.policy.matcher import AppPolicy, Match

from .conftest import VISITOR, World, make_world


def match_of(rule: PolicyRule) -> Match:
    """What holds for /a."""
    match = AppPolicy((rule,), (), token_id="t").match(b"GET", b"/a", is_websocket=False)
    assert match is not None
    return match


def ask(world: World, rule: PolicyRule, *, address: str = VISITOR) -> int:
    """The status of a refusal; 0: none."""
    guards = world.guards
    visitor = guards.visitor_address(address)
    reply = guards.app_policy.check(match_of(rule), visitor, guards.now())
    return 0 if reply is None else reply.status


def test_a_rate_and_its_burst(world: World) -> None:
    """So many at once, then at the rate; of one IPv6 /64 together; exempt ones are not counted."""
    rule = PolicyRule(path="/a", rate=6, per=60.0, burst=2)
    assert [ask(world, rule) for _ in range(3)] == [0, 0, 429]
    world.wait(10)
    assert [ask(world, rule) for _ in range(2)] == [0, 429]
    assert [ask(world, rule, address=f"2001:db8::{n}") for n in range(1, 4)] == [0, 0, 429]
    assert [ask(world, rule, address="127.0.0.1") for _ in range(5)] == [0] * 5
    assert world.guards.counts()["policy"] == 3


def test_an_access_policy_that_is_not_there() -> None:
    """T111: lets nobody in; one that is there is the door's business."""
    world = make_world()
    rule = PolicyRule(path="/a", access="family")
    assert ask(world, rule) == 503
    world.guards.app_policy = AppPolicyGuard({"family"})
    assert ask(world, rule) == 0
    assert ask(world, PolicyRule(path="/a", access="ops")) == 503


def test_notes() -> None:
    """What does not hold as it says, with the name and the numbers; no more than have room."""
    world = make_world({"shop.a.test": {"max_body": 100, "max_time": 5.0}})
    rules = [
        PolicyRule(path="/a", max_body=1000, timeout=60.0),
        PolicyRule(path="/b", max_body=10, timeout=1.0, rate=5, per=1.0),
        PolicyRule(path="/c", access="family"),
    ]
    names = ("shop.a.test", "blog.a.test", "own.a.test")
    assert world.guards.notes(rules, names, ["own.a.test"]) == (
        "no rule holds for own.a.test: the edge cannot read what is sent",
        "/a: max_body 1000 is 100 for shop.a.test (edge.toml)",
        "/a: timeout 60 is 5 for shop.a.test (edge.toml)",
        "/c: edge.toml has no [access.family], so nobody is let in",
    )
    assert world.guards.notes(rules, ["blog.a.test"], []) == (
        "/c: edge.toml has no [access.family], so nobody is let in",
    )
    many = world.guards.notes(rules[2:] * 20, names[:1], [])
    assert len(many) == MAX_NOTES
    assert many[-1] == "and 15 more"


def test_the_stricter_bound() -> None:
    """T111: 0 is none, and an app cannot lift the edge's."""
    assert [stricter(*pair) for pair in ((0, 5), (5, 0), (5, 9), (9, 5), (0, 0))] == [5, 5, 5, 5, 0]


@pytest.mark.plain  # another bound
def test_one_app_does_not_make_others_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """T112: where all places are taken, the token with the most gives them up."""
    monkeypatch.setattr(app_policy, "MAX_KEYS", 200)
    guard, world = AppPolicyGuard(), make_world()
    rule = PolicyRule(path="/a", rate=1, per=86400.0)

    def ask(owner: str, address: str) -> int:
        match = AppPolicy((rule,), (), token_id=owner).match(b"GET", b"/a", is_websocket=False)
        assert match is not None
        reply = guard.check(match, world.guards.visitor_address(address), 0.0)
        return 0 if reply is None else reply.status

    assert [ask("small", VISITOR) for _ in range(2)] == [0, 429]
    for number in range(1000):
        ask("large", f"10.0.{number // 250}.{number % 250}")
    assert ask("small", VISITOR) == 429
    assert guard._keys == sum(map(len, guard._rates.values())) == 200
    for number in range(150):
        ask("third", f"10.1.0.{number}")
    assert ask("small", VISITOR) == 429
    assert {name: len(table) for name, table in guard._rates.items()}["third"] >= 90
