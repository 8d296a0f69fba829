"""What a browser keeps between the two steps of a passkey."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.login import attempt as module
from asgi_tunnel_edge.login.attempt import ATTEMPT_COOKIE, LIFETIME, Attempts

HOST = "photos.example.org"


class Clock:
    """Seconds since 1970 that a test moves."""

    def __init__(self) -> None:
        self.now = 1_796_000_000.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def value_of(cookie: bytes) -> str:
    """What the browser sends back."""
    name, _, rest = cookie.partition(b"=")
    assert name == ATTEMPT_COOKIE
    return rest.partition(b";")[0].decode()


def test_an_attempt_is_known_again_for_its_purpose_and_hostname() -> None:
    """By the key that made it, and by no other one; each has a challenge of its own."""
    clock = Clock()
    attempts = Attempts(b"k" * 32, clock)
    attempt, cookie = attempts.begin("new", HOST, user="anna", invitation="a1")
    value = value_of(cookie)
    assert attempts.read(value, "new", HOST) == attempt
    assert (attempt.user, attempt.invitation) == ("anna", "a1")
    assert attempts.read(value, "login", HOST) is None
    assert attempts.read(value, "new", "files.example.org") is None
    assert Attempts(b"x" * 32, clock).read(value, "new", HOST) is None
    assert Attempts(b"k" * 32, clock).read(value, "new", HOST) == attempt
    assert attempts.begin("new", HOST)[0].challenge != attempt.challenge


def test_an_attempt_ends_after_five_minutes() -> None:
    """Whatever the browser does with its cookie."""
    clock = Clock()
    attempts = Attempts(b"k" * 32, clock)
    attempt, cookie = attempts.begin("login", HOST)
    clock.now += LIFETIME - 1
    assert attempts.read(value_of(cookie), "login", HOST) == attempt
    clock.now += 1
    assert attempts.read(value_of(cookie), "login", HOST) is None


def test_an_attempt_is_used_once() -> None:
    """And is remembered until it is over."""
    clock = Clock()
    attempts = Attempts(b"k" * 32, clock)
    attempt, cookie = attempts.begin("login", HOST)
    assert attempts.use(attempt)
    assert not attempts.use(attempt)
    assert attempts.read(value_of(cookie), "login", HOST) is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first, and so do those that are over."""
    monkeypatch.setattr(module, "MAX_USED", 3)
    clock = Clock()
    attempts = Attempts(b"k" * 32, clock)
    used = [attempts.begin("login", HOST)[0] for _ in range(4)]
    assert all(attempts.use(one) for one in used)
    assert sum(one.challenge.hex() in attempts.used for one in used) == 3
    assert [attempts.use(one) for one in used[1:]] == [False] * 3
    clock.now += LIFETIME
    assert attempts.use(attempts.begin("login", HOST)[0])
    assert not any(one.challenge.hex() in attempts.used for one in used)


@pytest.mark.parametrize("value", ["", ".", "a.b", "é.x", "x" * 2000, f"{'x' * 10}.{'y' * 43}"])
def test_anything_else_is_no_attempt(value: str) -> None:
    """Without an error."""
    assert Attempts(b"k" * 32, Clock()).read(value, "login", HOST) is None
