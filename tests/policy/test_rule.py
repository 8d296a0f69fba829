from __future__ import annotations

import functools
from typing import Any

import pytest

from asgi_tunnel.errors import ConfigError
from asgi_tunnel.policy import EdgePolicy, edge
from asgi_tunnel.policy.rule import policy_on


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/minute", (5, 60.0)),
        ("1/s", (1, 1.0)),
        ("100/10s", (100, 10.0)),
        ("20 / 5 minutes", (20, 300.0)),
        ("1000/hour", (1000, 3600.0)),
        ("1/day", (1, 86400.0)),
    ],
)
def test_rates(text: str, rate: tuple[int, float]) -> None:
    """A number in a time, by the words people use."""
    policy = edge(rate=text)
    assert (policy.rate, policy.per) == rate


@pytest.mark.parametrize(
    "text", ["5", "0/minute", "5/fortnight", "5/2day", "-1/s", "", "1/0s", "x/s"]
)
def test_what_is_no_rate(text: str) -> None:
    """Is said at once, with an example."""
    with pytest.raises(ConfigError, match=r"edge\(rate=\) is no number of requests in a time"):
        edge(rate=text)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (7, 7),
        ("7", 7),
        ("10KB", 10_000),
        ("10kib", 10_240),
        ("1.5 MB", 1_500_000),
        ("2GB", 2 * 10**9),
    ],
)
def test_sizes(value: int | str, size: int) -> None:
    """Bytes, decimal and binary."""
    assert edge(max_body=value).max_body == size


@pytest.mark.parametrize(
    "given",
    [
        {"max_body": 0},
        {"max_body": "much"},
        {"max_body": "9999999999TB"},
        {"timeout": 0},
        {"timeout": 86401},
        {"access": ""},
        {"access": "a b"},
        {"burst": 5},
        {"rate": "1/s", "burst": 0},
    ],
)
def test_what_is_refused(given: dict[str, Any]) -> None:
    """One sentence that names the argument."""
    with pytest.raises(ConfigError, match=r"^edge\((max_body|timeout|access|burst)=\)"):
        edge(**given)


def test_it_decorates_without_a_change() -> None:
    """Functions, classes, methods, partials and callable objects are what they were."""
    policy = edge(rate="1/s")

    def view() -> None: ...

    class View:
        @policy
        def get(self) -> None: ...

        def __call__(self) -> None: ...

    assert policy(view) is view
    assert policy_on(view) is policy
    assert policy_on(View.get) is policy
    assert policy_on(View().get) is policy
    assert policy_on(functools.partial(view)) is policy
    assert policy_on(functools.wraps(view)(lambda: None)) is policy
    instance = View()
    assert policy(instance) is instance
    assert policy_on(instance) is policy
    assert policy_on(View) is None


def test_what_takes_no_attribute() -> None:
    """Is an error, because nothing would come of it."""
    with pytest.raises(ConfigError, match="takes no attribute"):
        edge(rate="1/s")(3)


def test_inner_and_outer() -> None:
    """What the inner one does not say, the outer one says; an empty one is an exception."""
    outer = edge(rate="9/s", burst=3, access="ops", timeout=5)
    inner = edge(rate="1/s", max_body=7).within(outer)
    assert inner == EdgePolicy(rate=1, per=1.0, max_body=7, timeout=5.0, access="ops")
    assert edge(max_body=7).within(outer).burst == 3
    assert edge().within(outer) == EdgePolicy()
    assert edge(max_body=7).within(None) == edge(max_body=7)
