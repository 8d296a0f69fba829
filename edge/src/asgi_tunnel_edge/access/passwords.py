"""Passwords: hashed slowly, checked a few at a time, and tried slowly by who gets them wrong.

scrypt with 32 MiB and 0.1 s for a check (RFC 7914, ``hashlib``): so many checks at once are the
whole machine. Called by ``login`` for its form, and by dispatch for Basic authentication.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import os
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Final

from ..errors import EdgeConfigError, StorageError
from ..shares.spent import SpentTable

__all__ = ["Outcome", "PasswordChecker", "check_password", "hash_password", "password_matches"]

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 256
"""Characters of a password: a few words, or what a manager makes. (NIST SP 800-63B asks for 8 and
64 at least.)"""

MAX_WAITING: Final = 16
"""Checks that wait for one in progress: 2 s for the last. More are refused with 503."""

TRIES: Final = 8
"""Wrong passwords of one address (IPv6: of one /64) at once; then one more every ``PAUSE``."""

PAUSE: Final = 15.0
"""Seconds: 5,760 tries a day from one address."""

MAX_ADDRESSES: Final = 4096
"""Addresses whose wrong passwords are remembered, 1 MB; the one heard of longest ago goes first."""

_COST: Final = 32768  # RFC 7914 section 2: N; with r = 8 it is 32 MiB
_BLOCK: Final = 8  # r
_PARALLEL: Final = 1  # p
_MEMORY: Final = 64 * 1024 * 1024  # bytes that OpenSSL may take for it
_SALT: Final = 16  # bytes


class Outcome(Enum):
    """What became of a check."""

    RIGHT = auto()
    WRONG = auto()
    TOO_MANY = auto()  # this address has to wait
    BUSY = auto()  # the edge has
    BROKEN = auto()  # the store cannot be read


def check_password(text: str) -> str:
    """Check a new password; return it.

    Raises:
        EdgeConfigError: It is too short or too long.
    """
    if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
        why = f"expected {MIN_LENGTH} to {MAX_LENGTH} characters, got {len(text)}"
        raise EdgeConfigError("password", why, "four or five words are a good one")
    return text


def hash_password(password: str) -> str:
    """Return what the store keeps of a password; takes 0.1 s."""
    salt = os.urandom(_SALT)
    found = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    numbers = f"{_COST}${_BLOCK}${_PARALLEL}"
    return f"scrypt${numbers}${b64encode(salt).decode()}${b64encode(found).decode()}"


def password_matches(password: str, kept: str) -> bool:
    """Whether a password is the one that was hashed; takes 0.1 s, also where nothing was kept.

    Args:
        password: As somebody gave it.
        kept: What :func:`hash_password` returned; empty: there is no password.
    """
    try:
        _, n, r, p, salt, wanted = kept.split("$")
    except ValueError:
        _scrypt(password, bytes(_SALT), _COST, _BLOCK, _PARALLEL)  # no difference in time
        return False
    found = _scrypt(password, b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, b64decode(wanted))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password[: MAX_LENGTH + 1].encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY)


class PasswordChecker:
    """Checks passwords in a thread of its own, one after the other.

    Args:
        find: Returns what is kept for a user, empty for nobody; may block. Raises StorageError.
        now: Monotonic seconds.

    Attributes:
        spent: Notes the tries here, for other processes; None: there are none.
    """

    def __init__(self, find: Callable[[str], str], now: Callable[[], float]) -> None:
        self._find = find
        self._now = now
        self._waiting = 0
        self.spent: SpentTable | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="asgi-tunnel-edge-password")
        # When the next wrong one is due, by address group; least recently heard of first.
        self._due: OrderedDict[str, float] = OrderedDict()

    def wait_of(self, group: str) -> int:
        """Return the seconds that an address has to wait until its next try; 0: none."""
        return math.ceil(max(self._due.get(group, 0.0) - self._now() - (TRIES - 1) * PAUSE, 0.0))

    async def check(self, user: str, password: str, group: str) -> Outcome:
        """Check one password. Cancelling it loses nothing; its place is free a moment later.

        Args:
            user: Whose it should be.
            password: As given.
            group: Of the address that it comes from (:func:`..address.group_of`).
        """
        if self.wait_of(group):
            return Outcome.TOO_MANY
        if self._waiting >= MAX_WAITING:
            return Outcome.BUSY
        self._waiting += 1
        self._count(group)  # before the check: many at once are many tries
        loop = asyncio.get_running_loop()
        future = self._worker.submit(self._matches, user, password)
        future.add_done_callback(lambda _: self._done(loop))
        try:
            is_right = await asyncio.wrap_future(future)
        except StorageError:
            self._take_back(group)
            return Outcome.BROKEN
        if not is_right:
            return Outcome.WRONG
        self._take_back(group)
        return Outcome.RIGHT

    async def hash(self, password: str) -> str | None:
        """Return what the store keeps of a new password, as :func:`hash_password`.

        It takes its turn with the checks. Cancelling it loses nothing.

        Returns:
            None: too many wait.
        """
        if self._waiting >= MAX_WAITING:
            return None
        self._waiting += 1
        loop = asyncio.get_running_loop()
        future = self._worker.submit(hash_password, password)
        future.add_done_callback(lambda _: self._done(loop))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Begin no more checks."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _matches(self, user: str, password: str) -> bool:
        return password_matches(password, self._find(user))

    def _done(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._waiting -= 1

    def _count(self, group: str) -> None:
        self.charge(group, PAUSE)
        if self.spent is not None:
            self.spent.note(group, PAUSE)

    def charge(self, group: str, seconds: float) -> None:
        """Let an address wait longer, for a try here or in another process."""
        now = self._now()
        due = self._due
        due[group] = max(due.get(group, 0.0), now) + seconds
        due.move_to_end(group)
        while len(due) > MAX_ADDRESSES:
            due.popitem(last=False)

    def _take_back(self, group: str) -> None:
        if group in self._due:
            self._due[group] -= PAUSE
            if self.spent is not None:
                self.spent.note(group, -PAUSE)
