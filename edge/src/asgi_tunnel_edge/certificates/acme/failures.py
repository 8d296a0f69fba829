"""What failed: when it is tried again, how often in all, and when the owner hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from asgi_tunnel_edge.errors import AcmeError

from . import schedule
from .problems import UNREACHABLE
from .records import FailureRecord

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from .client import Now
    from .records import AcmeState, AcmeStorage, CertificateRecord

__all__ = ["Failures", "IssuanceFailure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceFailure:
    """What an owner has to hear about names that have no new certificate."""

    names: tuple[str, ...]
    sentence: str  #: what, why, what to do
    count: int  #: since the last success
    retry_at: float  #: seconds since 1970
    not_after: float | None  #: of the certificate that is still in use; None: there is none


class Failures:
    """Failures of one CA, kept in the storage.

    Args:
        directory: The URL of the CA's directory.
        storage: Called in a thread.
        tell: Hears of a failure: the first one, one of another kind, and again each day.
        now: Seconds since 1970.
        chance: Spreads tries.
    """

    def __init__(
        self,
        directory: str,
        storage: AcmeStorage,
        tell: Callable[[IssuanceFailure], None],
        *,
        now: Now,
        chance: random.Random,
    ) -> None:
        self._directory = directory
        self._storage = storage
        self._on_failed = tell
        self._now = now
        self._chance = chance

    async def add(self, state: AcmeState, names: tuple[str, ...], error: Exception) -> float:
        """Keep a failure; return when these names are tried again, in seconds since 1970."""
        now = self._now()
        before = state.failures.get(names)
        kind = error.kind if isinstance(error, AcmeError) else type(error).__name__
        count = 1 if before is None else before.count + 1
        retry_at = schedule.retry_at(
            count,
            kind=kind,
            now=now,
            wanted=error.retry_at if isinstance(error, AcmeError) else None,
            chance=self._chance,
        )
        is_old = (
            before is not None
            and before.kind == kind
            and now < before.reported_at + schedule.REPORT_EVERY
        )
        failure = FailureRecord(
            names=names,
            kind=kind,
            count=count,
            failed_at=int(now),
            retry_at=int(retry_at) + 1,
            reported_at=before.reported_at if before is not None and is_old else int(now),
            sentence=str(error),
        )
        await asyncio.to_thread(self._storage.save_failure, self._directory, failure)
        if kind != UNREACHABLE:  # of those the CA knows nothing
            await self._note(failed=True)
        if not is_old:
            self._tell(failure, state.certificates.get(names))
        return retry_at

    async def remind(self, state: AcmeState, wanted: Sequence[tuple[str, ...]]) -> None:
        """Say again each day what still fails, tried or not."""
        for names in wanted:
            failure = state.failures.get(names)
            if failure is None or self._now() < failure.reported_at + schedule.REPORT_EVERY:
                continue
            again = msgspec.structs.replace(failure, reported_at=int(self._now()))
            await asyncio.to_thread(self._storage.save_failure, self._directory, again)
            self._tell(again, state.certificates.get(names))

    async def note_order(self) -> None:
        """Count an order that was begun."""
        await self._note(failed=False)

    async def is_capped(self) -> bool:
        """Were there as many orders or failures in the last hour as there may be?"""
        since = int(self._now() - schedule.HOUR)
        orders, failures = await asyncio.to_thread(
            self._storage.count_attempts, self._directory, since=since
        )
        return orders >= schedule.MAX_ORDERS_PER_HOUR or failures >= schedule.MAX_FAILURES_PER_HOUR

    async def _note(self, *, failed: bool) -> None:
        await asyncio.to_thread(
            self._storage.note_attempt, self._directory, at=int(self._now()), failed=failed
        )

    def _tell(self, failure: FailureRecord, record: CertificateRecord | None) -> None:
        is_valid = record is not None and record.not_after > self._now()
        self._on_failed(
            IssuanceFailure(
                names=failure.names,
                sentence=failure.sentence,
                count=failure.count,
                retry_at=failure.retry_at,
                not_after=record.not_after if record is not None and is_valid else None,
            )
        )
