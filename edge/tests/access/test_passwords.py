"""Passwords are hashed slowly, and checked a few at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from asgi_tunnel_edge.access.passwords import (
    MAX_WAITING,
    PAUSE,
    TRIES,
    Outcome,
    PasswordChecker,
    check_password,
    hash_password,
    password_matches,
)
from asgi_tunnel_edge.errors import EdgeConfigError, StorageError

HASHED = hash_password("correct horse battery")


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Kept:
    """What a store has."""

    def __init__(self) -> None:
        self.found = ""
        self.gate = threading.Event()
        self.gate.set()
        self.is_broken = False

    def __call__(self, user: str) -> str:
        """Return a hash; wait at the gate."""
        self.gate.wait(5)
        if self.is_broken:
            raise StorageError("gone")
        return self.found if user == "anna" else ""


@pytest.fixture
def kept() -> Kept:
    """A store without passwords: a check of none takes as long as one."""
    return Kept()


@pytest.fixture
def clock() -> Clock:
    """The checker's."""
    return Clock()


@pytest.fixture
def checker(kept: Kept, clock: Clock) -> Iterator[PasswordChecker]:
    """One checker, ended after the test."""
    one = PasswordChecker(kept, clock)
    yield one
    one.stop()


def test_hashes() -> None:
    """Salted, with their numbers; nothing but the password matches, nor a broken hash."""
    assert HASHED.startswith("scrypt$32768$8$1$")
    assert hash_password("correct horse battery") != HASHED
    assert password_matches("correct horse battery", HASHED)
    assert not password_matches("correct horse batterx", HASHED)
    assert not password_matches("", "")
    assert not password_matches("x", "plain")


@pytest.mark.parametrize("text", ["", "123456789", "x" * 257])
def test_lengths(text: str) -> None:
    """Ten to 256 characters."""
    with pytest.raises(EdgeConfigError, match="expected 10 to 256 characters"):
        check_password(text)
    assert check_password("ten chars!") == "ten chars!"


@pytest.mark.anyio
async def test_an_address_that_guesses_waits(
    kept: Kept, checker: PasswordChecker, clock: Clock
) -> None:
    """After some tries at once, one more each pause; another address has its own."""
    outcomes = [await checker.check("anna", "wrong", "192.0.2.1") for _ in range(TRIES + 1)]
    assert outcomes == [Outcome.WRONG] * TRIES + [Outcome.TOO_MANY]
    assert checker.wait_of("192.0.2.1") == PAUSE
    assert await checker.check("anna", "wrong", "192.0.2.2") is Outcome.WRONG
    clock.now += PAUSE
    assert await checker.check("anna", "wrong", "192.0.2.1") is Outcome.WRONG
    assert await checker.check("anna", "wrong", "192.0.2.1") is Outcome.TOO_MANY


@pytest.mark.anyio
async def test_who_is_right_uses_no_tries_up(kept: Kept, checker: PasswordChecker) -> None:
    """As often as they log in."""
    kept.found = HASHED
    for _ in range(TRIES + 1):
        assert await checker.check("anna", "correct horse battery", "a") is Outcome.RIGHT
    assert checker.wait_of("a") == 0


@pytest.mark.anyio
async def test_a_store_that_is_away_uses_no_tries_up(kept: Kept, checker: PasswordChecker) -> None:
    """It is nobody's fault who tries."""
    kept.is_broken = True
    for _ in range(TRIES + 1):
        assert await checker.check("anna", "x", "a") is Outcome.BROKEN


@pytest.mark.anyio
async def test_only_so_many_wait(kept: Kept, checker: PasswordChecker) -> None:
    """One more is refused at once; places are free again when checks are done."""
    kept.is_broken = True  # quick, once the gate opens
    kept.gate.clear()
    waiting = [
        asyncio.ensure_future(checker.check("anna", "x", str(number)))
        for number in range(MAX_WAITING)
    ]
    await asyncio.sleep(0)
    assert await checker.check("anna", "x", "more") is Outcome.BUSY
    kept.gate.set()
    assert set(await asyncio.gather(*waiting)) == {Outcome.BROKEN}
    assert await checker.check("anna", "x", "more") is Outcome.BROKEN
