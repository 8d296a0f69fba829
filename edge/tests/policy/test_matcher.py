from __future__ import annotations

import time
from typing import Any

import pytest

from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel_edge.policy.matcher import AppPolicy, Match


def policy(*rules: PolicyRule, routes: tuple[str, ...] = ()) -> AppPolicy:
    """Compile rules."""
    return AppPolicy(rules, routes, token_id="tok")


def rule(path: str, number: int = 0, **values: Any) -> PolicyRule:
    """A rule that is known by its ``max_body``."""
    return PolicyRule(path=path, max_body=number, **values)


def held(
    compiled: AppPolicy, target: bytes, method: bytes = b"GET", *, is_websocket: bool = False
) -> int | None:
    """The ``max_body`` of what holds; None: nothing does."""
    match = compiled.match(method, target, is_websocket=is_websocket)
    return None if match is None else match.max_body


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("/", ["/"], ["/x"]),
        ("/a", ["/a", "/a/", "/A"], ["/", "/a/b", "/ab"]),
        ("/a/*", ["/a/b", "/a/b/"], ["/a", "/a/", "/a/b/c"]),
        ("/a/**", ["/a", "/a/", "/a/b", "/a/b/c"], ["/", "/ab"]),
        ("/**", ["/", "/a/b"], []),
        ("/x-*.json", ["/x-1.json"], ["/x-.json", "/x-1.jso", "/1.json"]),
        ("/caf\N{LATIN SMALL LETTER E WITH ACUTE}", ["/caf%C3%A9"], ["/cafe"]),
    ],
)
def test_patterns(pattern: str, fits: list[str], misses: list[str]) -> None:
    """Which paths fit one pattern."""
    compiled = policy(rule(pattern, 1))
    assert [held(compiled, one.encode()) for one in fits] == [1] * len(fits)
    assert [held(compiled, one.encode()) for one in misses] == [None] * len(misses)


def test_the_first_rule_that_fits_holds() -> None:
    """In their order, whatever is more particular; one without a limit is an exception."""
    compiled = policy(rule("/a/*", 1), rule("/a/b", 2), rule("/c/d"), rule("/c/**", 3))
    assert held(compiled, b"/a/b") == 1
    assert held(compiled, b"/c/d") is None
    assert held(compiled, b"/c/e") == 3
    assert held(compiled, b"/C/d") == 3  # an exception fits its own spelling only
    assert held(compiled, b"/c/%64") is None


def test_a_rule_that_fits_more_than_is_meant() -> None:
    """Does not hide what is behind it in its list."""
    compiled = policy(
        rule("/u/*", 9, also=True), PolicyRule(path="/u/*", access="x"), rule("/u/**", 1)
    )
    match = compiled.match(b"GET", b"/u/7", is_websocket=False)
    assert match is not None
    assert (match.max_body, match.access) == (9, ("x",))
    assert compiled.match(b"GET", b"/u/7", is_websocket=False) is match


def test_lists_hold_beside_each_other() -> None:
    """The first of each; an exception is one from its own list."""
    compiled = policy(
        rule("/a", 9),
        rule("/**", 8),
        rule("/a", list=1),
        PolicyRule(path="/**", access="x", list=1),
    )
    assert held(compiled, b"/a") == 9
    match = compiled.match(b"GET", b"/b", is_websocket=False)
    assert match is not None
    assert (match.max_body, match.access) == (8, ("x",))


def test_an_exception_is_what_it_says() -> None:
    """Not with another slash, another method, or an empty rest: those are another route's."""
    compiled = policy(rule("/a/*", methods=("GET",)), rule("/b/*/"), rule("/c/**"), rule("/**", 1))
    for target, number in (
        (b"/a/x", None),
        (b"/a/x/", 1),
        (b"/b/x/", None),
        (b"/b/x", 1),
        (b"/c/x", None),
        (b"/c/x/", None),
        (b"/c/", 1),
        (b"/c", 1),
        (b"/a\\x", 1),
        (b"/a%5cx", 1),
        (b"//a/x", 1),
    ):
        assert held(compiled, target) == number, target
    assert held(compiled, b"/a/x", b"HEAD") == 1
    assert held(compiled, b"/a/x", is_websocket=True) == 1
    assert held(compiled, b"/b/x/", is_websocket=True) == 1
    table = policy(rule("/b", list=1), rule("/**", 1, list=1))
    assert held(table, b"/b", is_websocket=True) is None


def test_another_spelling_is_held_by_what_is_behind_too() -> None:
    """A mount does not take its path without a slash, nor a route of GET each HEAD."""
    compiled = policy(
        PolicyRule(path="/a/**", access="x"),
        PolicyRule(path="/b", access="x", methods=("GET",)),
        PolicyRule(path="/**", access="y"),
    )
    for target, method, access in (
        (b"/a/1", b"GET", ("x",)),
        (b"/a/", b"GET", ("x", "y")),
        (b"/a", b"GET", ("x", "y")),
        (b"/A/1", b"GET", ("x", "y")),
        (b"/b", b"GET", ("x",)),
        (b"/b", b"HEAD", ("x", "y")),
        (b"/b/", b"GET", ("x", "y")),
    ):
        match = compiled.match(method, target, is_websocket=False)
        assert match is not None
        assert match.access == access, target


def test_methods() -> None:
    """GET is HEAD and a handshake; WEBSOCKET is a handshake alone."""
    compiled = policy(
        rule("/a", 1, methods=("GET",)), rule("/a", 2, methods=("POST",)), rule("/b", 3),
        rule("/c", 4, methods=("WEBSOCKET",)),
    )  # fmt: skip
    found = [held(compiled, b"/a", one) for one in (b"GET", b"HEAD", b"POST", b"PUT")]
    assert found == [1, 1, 2, None]
    assert held(compiled, b"/a", is_websocket=True) == 1
    assert held(compiled, b"/b", b"BREW") == 3
    assert (held(compiled, b"/c"), held(compiled, b"/c", is_websocket=True)) == (None, 4)


def test_all_readings_of_an_odd_path_hold_together() -> None:
    """The smallest bounds, all rates and all policies."""
    compiled = policy(
        PolicyRule(path="/open/**", max_body=9, timeout=1.0, rate=1, per=1.0, access="a"),
        PolicyRule(path="/shut", max_body=5, timeout=2.0, rate=2, per=1.0, access="b"),
    )
    match = compiled.match(b"GET", b"/open/../shut", is_websocket=False)
    assert isinstance(match, Match)
    assert (match.max_body, match.max_time, match.access) == (5, 1.0, ("a", "b"))
    assert len(match.rates) == 2


def test_a_long_odd_path_has_all_rules() -> None:
    """T112: what takes too long to be read in all ways is taken for all that has a rule."""
    compiled = policy(
        rule("/a", 9), PolicyRule(path="/b", access="x"), rule("/c", 5), routes=("/a",)
    )
    match = compiled.match(b"GET", b"/x" + b"/%2e%2e/%25" * 300, is_websocket=False)
    assert match is not None
    assert (match.max_body, match.access, match.is_unknown) == (5, ("x",), False)


def test_paths_that_no_route_has() -> None:
    """A path is unknown where none of its readings is known."""
    compiled = policy(rule("/a", 1), routes=("/a", "/m/**"))
    for target, is_unknown in ((b"/a", False), (b"/b", True), (b"/b/../a", False), (b"/m", False)):
        match = compiled.match(b"GET", target, is_websocket=False)
        assert (match is not None and match.is_unknown) is is_unknown, target
    assert compiled.match(b"OPTIONS", b"*", is_websocket=False) is None


def test_a_rate_is_counted_by_what_it_says() -> None:
    """The key is the token's and the rule's own text: it stays when the app comes anew."""
    one, other = (
        policy(*rules).match(b"GET", b"/a", is_websocket=False)
        for rules in (
            (PolicyRule(path="/a", rate=5, per=60.0),),
            (rule("/b", 1), PolicyRule(path="/a", rate=5, per=60.0)),
        )
    )
    assert one is not None
    assert other is not None
    assert one.rates == other.rates
    (key, limit), = one.rates  # fmt: skip
    assert (key, one.owner) == ("/ /a", "tok")
    assert (limit.interval, limit.tolerance) == (12.0, 48.0)


def test_the_worst_rules_and_paths_are_no_work() -> None:
    """T112: 128 rules of 16 segments that all fit, and 512 routes."""
    rules = [rule("/*" * (1 + n % 15) + f"/{n}*", n + 1) for n in range(128)]
    routes = tuple("/*" * 15 + f"/{n}" for n in range(512))
    compiled = policy(*rules, routes=routes)
    target = b"/%2561" + b"/b;c//d" * 250
    began = time.thread_time()
    for _ in range(20):
        compiled.match(b"GET", target, is_websocket=False)
    assert time.thread_time() - began < 2.0
