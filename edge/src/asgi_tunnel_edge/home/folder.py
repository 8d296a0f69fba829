"""What an app keeps of its certificates: a file for each CA, in a folder of its own.

Implements ``certificates.acme.records.AcmeStorage`` for the processes of one app on one machine.
They change the file one after the other, under a lock, and write it whole: whoever reads it needs
none. The lease is a lock, too: the system takes it back when its process ends, however it ends.
The keys are in the file as they are, for an app has no better place for the key to them; only its
user may read it.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from ..certificates.acme.records import (
    KEEP,
    AccountRecord,
    AcmeState,
    CertificateRecord,
    FailureRecord,
    OrderRecord,
)
from ..certificates.acme.schedule import HOUR
from ..errors import StorageError
from ..files import PRIVATE, PRIVATE_DIRECTORY, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Names = tuple[str, ...]

__all__ = ["FolderStorage"]

LOCK_TIMEOUT: Final = 5.0
"""Seconds to wait for another process that writes the file: that takes some milliseconds, and the
tunnel waits for it before it opens, which has 10 s."""

RESTART_RETRY: Final = 12 * 60
"""Seconds after a failure until a start of the app may try again: Let's Encrypt takes five failed
validations of a name in an hour, and an app may be started without end."""

_LOCK_POLL: Final = 0.01  # seconds


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file."""

    directory: str
    account: AccountRecord | None = None
    certificates: tuple[CertificateRecord, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    failures: tuple[FailureRecord, ...] = ()
    attempts: tuple[tuple[int, bool], ...] = ()  # (when, failed) of the last hour


class FolderStorage:
    """See the module.

    Args:
        folder: The app's own; made, with mode 0700, when it is missing.

    Attributes:
        account_url: Of the account that was read or kept last; None: there is none yet.

    Every method may block for some milliseconds, :data:`LOCK_TIMEOUT` at the worst, and raises
    StorageError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lease: int | None = None  # the descriptor whose lock it is
        self.account_url: str | None = None

    def prepare(self, directory: str) -> AcmeState:
        """Make the folder, see that it can be used, and read what is there.

        Whoever starts an app again has mended something, and waits: what failed is tried soon,
        where it is not a rate limit that is waited for.

        Raises:
            StorageError: It cannot: one sentence with what to do.
        """
        self._change(
            directory,
            lambda kept: replace(kept, failures=tuple(map(_sooner, kept.failures))),
        )
        return self.load(directory)

    def load(self, directory: str) -> AcmeState:
        """Read everything of a directory."""
        kept = self._read(directory)
        return AcmeState(
            account=kept.account,
            certificates={one.names: one for one in kept.certificates},
            orders={one.names: one for one in kept.orders},
            failures={one.names: one for one in kept.failures},
        )

    def save_account(self, directory: str, account: AccountRecord) -> None:
        """Keep the account, in place of the one before."""
        self._change(directory, lambda kept: replace(kept, account=account))

    def save_order(self, directory: str, names: Names, order: OrderRecord | None) -> None:
        """Keep the order in progress for some names, or forget it."""
        new = () if order is None else (order,)
        self._change(
            directory,
            lambda kept: replace(
                kept, orders=(*(one for one in kept.orders if one.names != names), *new)
            ),
        )

    def save_certificate(self, directory: str, certificate: CertificateRecord) -> None:
        """Keep a certificate, in place of the one before.

        In the same step the order is forgotten, and failures for its names, and what is long over.
        """
        names, before = certificate.names, certificate.created_at - KEEP

        def change(kept: _Kept) -> _Kept:
            others = [one for one in kept.certificates if one.names != names]
            orders = [one for one in kept.orders if one.names != names]
            failures = [one for one in kept.failures if one.names != names]
            return replace(
                kept,
                certificates=(*(one for one in others if one.not_after >= before), certificate),
                orders=tuple(one for one in orders if one.created_at >= before),
                failures=tuple(one for one in failures if one.failed_at >= before),
            )

        self._change(directory, change)

    def save_failure(self, directory: str, failure: FailureRecord) -> None:
        """Keep a failure, in place of the one before."""
        self._change(
            directory,
            lambda kept: replace(
                kept,
                failures=(*(one for one in kept.failures if one.names != failure.names), failure),
            ),
        )

    def schedule(self, directory: str, names: Names, *, renew_at: int, ari_at: int) -> None:
        """Note when a certificate is renewed; nothing, where there is none."""

        def change(one: CertificateRecord) -> CertificateRecord:
            if one.names != names:
                return one
            # 0: somebody asked for a new one, and that stays.
            return replace(one, ari_at=ari_at, renew_at=renew_at if one.renew_at else 0)

        self._change(
            directory,
            lambda kept: replace(kept, certificates=tuple(map(change, kept.certificates))),
        )

    def count_attempts(self, directory: str, *, since: int) -> tuple[int, int]:
        """(orders begun, failures) since a time, of the last hour."""
        found = [failed for at, failed in self._read(directory).attempts if at >= since]
        return found.count(False), found.count(True)

    def note_attempt(self, directory: str, *, at: int, failed: bool) -> None:
        """Note that an order was begun, or that one failed; older ones are forgotten."""

        def change(kept: _Kept) -> _Kept:
            recent = [one for one in kept.attempts if one[0] >= at - HOUR]
            return replace(kept, attempts=(*recent, (at, failed)))

        self._change(directory, change)

    def acquire_lease(self, directory: str, holder: str, *, now: float, until: float) -> bool:
        """Take the lease of a directory, if nobody has it; it lasts until it is given back."""
        if self._lease is not None:
            return True
        with self._errors():
            handle = self._open(f"{_stem(directory)}.ordering")
            try:
                _try_lock(handle)
            except BlockingIOError:
                os.close(handle)
                return False
            except BaseException:
                os.close(handle)
                raise
        self._lease = handle
        return True

    def release_lease(self, directory: str, holder: str) -> None:
        """Give the lease back, if this process has it."""
        handle, self._lease = self._lease, None
        if handle is not None:
            _unlock(handle)
            os.close(handle)

    # -- inside ------------------------------------------------------------------------------

    def _change(self, directory: str, change: Callable[[_Kept], _Kept]) -> None:
        with self._locked(directory):
            kept = change(self._read(directory))
            with self._errors():
                write_atomically(self._path(directory), msgspec.json.encode(kept), mode=PRIVATE)
            self._note_account(kept)

    def _read(self, directory: str) -> _Kept:
        path = self._path(directory)
        with self._errors():
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return _Kept(directory=directory)
        try:
            kept = msgspec.json.decode(data, type=_Kept)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            sentence = (
                f"{path} is not what an app has written there ({error}); put a copy back, or take "
                "the file away: a new account is made then, and the certificates are ordered anew"
            )
            raise StorageError(sentence) from error
        self._note_account(kept)
        return kept

    def _note_account(self, kept: _Kept) -> None:
        self.account_url = None if kept.account is None else kept.account.url

    @contextmanager
    def _locked(self, directory: str) -> Iterator[None]:
        """Alone with the file of a directory."""
        with self._errors():
            handle = self._open(f"{_stem(directory)}.lock")
        try:
            self._wait_for_lock(handle)
            yield
        finally:
            os.close(handle)

    def _wait_for_lock(self, handle: int) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                _try_lock(handle)
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    sentence = (
                        f"another process has kept the files in {self._folder} locked for "
                        f"{LOCK_TIMEOUT:.0f} s; end it, or give this app a folder of its own "
                        "with ASGI_TUNNEL_CERTIFICATES"
                    )
                    raise StorageError(sentence) from error
                time.sleep(_LOCK_POLL)
            except OSError as error:
                raise self._error(error) from error
            else:
                return

    def _open(self, name: str) -> int:
        self._folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)

    def _path(self, directory: str) -> Path:
        return self._folder / f"{_stem(directory)}.json"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> StorageError:
        sentence = (
            f"the folder {self._folder} for the app's certificates cannot be used "
            f"({error.strerror}); set ASGI_TUNNEL_CERTIFICATES to one that this app's user may "
            "write and that stays"
        )
        return StorageError(sentence)


def _sooner(failure: FailureRecord) -> FailureRecord:
    if failure.kind == "rateLimited":
        return failure
    return replace(failure, retry_at=min(failure.retry_at, failure.failed_at + RESTART_RETRY))


def _try_lock(handle: int) -> None:
    try:
        import fcntl
    except ImportError as error:  # Windows
        sentence = (
            "an app orders certificates only where files have locks of POSIX; get one in another "
            "way, and set ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY to its files"
        )
        raise StorageError(sentence) from error
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(handle: int) -> None:
    """Also where a child has a copy of the descriptor, which would keep the lock."""
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_UN)


def _stem(directory: str) -> str:
    """A name for the files of a CA's directory: its host, and what tells its URLs apart."""
    host = "".join(c for c in urlsplit(directory).hostname or "" if c.isalnum() or c in "-.")
    return f"{host[:100]}-{hashlib.sha256(directory.encode()).hexdigest()[:8]}"
