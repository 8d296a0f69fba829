"""Keeps certificates for the names that are wanted: orders, renews, backs off, reports.

One look (:meth:`Issuer.step`) reads what is kept, hands on certificates that are new, and does what
is due, one order after the other. Of several edges on one database one orders at a time, by a lease
that it renews; all of them hand on what was ordered. Everything that a restart has to know is kept
before it is needed, so that a look may be cancelled anywhere.

It leaves to ``order`` how a certificate is got, to ``schedule`` when, and to whoever made it what
to do with a certificate. Called by ``server``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asgi_tunnel_edge.errors import (
    AcmeError,
    CertificateError,
    HostnameError,
    SolverError,
    StorageError,
)

from . import schedule
from .account import Account, AcmeSettings
from .certificate import check_certificate
from .client import AcmeClient, Now, Sleep
from .failures import Failures, IssuanceFailure
from .lease import LEASE, Lease
from .names import normal_names
from .order import Issued, Ordering
from .problems import UNREACHABLE, name_list
from .records import AcmeState, AcmeStorage, CertificateRecord, OrderRecord

if TYPE_CHECKING:
    from .solver import Solver

__all__ = ["Issuer", "IssuerClock", "IssuerHooks"]

_log = logging.getLogger("asgi_tunnel_edge.certificates")

Names = tuple[str, ...]

LOOK_EVERY: Final = 60.0
"""Seconds between two looks, where nobody wakes it: what another process ordered is seen then."""

ORDER_BOUND: Final = 1800.0
"""Seconds for one order: the others wait for it. It is gone on with at the next try."""

LONGEST_PAUSE: Final = 300.0
"""Seconds without an order for any name, after a CA failed in a way that all would meet."""

MAX_CERTIFICATES: Final = 1000
"""Certificates of one edge: each is read and decrypted in each look, 0.1 ms. Use wildcards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerHooks:
    """What the issuer asks and says; all are called on the event loop, so they are quick."""

    wanted: Callable[[], Sequence[Sequence[str]]]
    """Gives the names of each certificate; asked in each look."""

    installed: Callable[[Names, bytes, bytes], None]
    """Gets (names, chain PEM, key PEM) of each certificate that was checked: at the start those
    that are kept, later those that are new, also the ones that another process ordered."""

    failed: Callable[[IssuanceFailure], None]
    """Gets failures: the first one, one of another kind, and again each day."""

    log: logging.Logger = _log
    """Gets what is no failure of single names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerClock:
    """Time and chance; tests have their own."""

    now: Now = time.time  #: seconds since 1970
    sleep: Sleep = asyncio.sleep
    chance: random.Random = field(default_factory=random.SystemRandom)
    busy: float = LEASE / 3  #: seconds between two looks while another process orders


@dataclass(slots=True, kw_only=True)
class _Due:
    """What a look found to do."""

    orders: list[Names] = field(default_factory=list)  # the most urgent first
    windows: list[CertificateRecord] = field(default_factory=list)
    next_at: float


class Issuer:
    """Keeps certificates for names; one per process and CA.

    Args:
        settings: Which CA.
        storage: Where everything is kept; called in a thread.
        solvers: The preferred kind first.
        hooks: Which names are wanted, and who hears of certificates and failures.
        clock: Time and chance.
        orders: Whether this process orders; False: it hands on what others have ordered.
    """

    def __init__(
        self,
        settings: AcmeSettings,
        storage: AcmeStorage,
        solvers: Sequence[Solver],
        hooks: IssuerHooks,
        *,
        clock: IssuerClock | None = None,
        orders: bool = True,
    ) -> None:
        clock = IssuerClock() if clock is None else clock
        self._settings = settings
        self._directory = settings.directory_url
        self._storage = storage
        self._solvers = solvers
        self._hooks = hooks
        self._orders = orders
        self._now, self._chance, self._busy = clock.now, clock.chance, clock.busy
        self._log = hooks.log
        self._account = Account(settings, storage, now=clock.now, sleep=clock.sleep)
        self._failures = Failures(
            self._directory, storage, hooks.failed, now=clock.now, chance=clock.chance
        )
        self._lease = Lease(
            storage, self._directory, now=clock.now, sleep=clock.sleep, log=hooks.log
        )
        self._serials: dict[Names, str] = {}  # of what was handed on
        self._refused: set[str] = set()  # sentences about wanted names, said once
        self._paused_until = 0.0
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at once: other names are wanted."""
        self._wake.set()

    async def run(self) -> None:
        """Look for ever; cancelling it ends an order at its next step, and loses nothing."""
        while True:
            self._wake.clear()
            try:
                delay = await self.step()
            except StorageError as error:
                self._log.error("certificates cannot be renewed now: %s", error)
                delay = LOOK_EVERY
            except Exception:  # noqa: BLE001
                # The task's outer edge. A defect here must not end renewals for good.
                self._log.exception("looking after certificates failed")
                delay = LOOK_EVERY
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def load(self) -> None:
        """Hand on the certificates that are kept; the CA is not asked.

        Raises:
            StorageError: What is kept cannot be read.
        """
        await self._load(self._names())

    async def step(self) -> float:
        """Look once, and do what is due.

        Returns:
            Seconds until the next look, ``LOOK_EVERY`` at the most.

        Raises:
            StorageError: What is kept cannot be read or written.
        """
        wanted = self._names()
        state = await self._load(wanted)
        if not self._orders:
            return LOOK_EVERY
        await self._failures.remind(state, wanted)
        due = self._due(state, wanted)
        if any(one.retry_at == 0 for one in state.failures.values()):
            self._paused_until = 0.0  # somebody asks for a try now
        if (due.orders or due.windows) and self._now() >= self._paused_until:
            if not await self._lease.run(self._work(wanted)):
                return self._busy
            due = self._due(await self._load(wanted), wanted)
        next_at = max(due.next_at, self._paused_until)
        return min(max(next_at - self._now(), 1.0), LOOK_EVERY)

    # -- what there is, and what is due ---------------------------------------------------------

    def _names(self) -> list[Names]:
        found: dict[Names, None] = {}
        for names in self._hooks.wanted():
            try:
                found[normal_names(names)] = None
            except (AcmeError, HostnameError) as error:
                self._say_once(f"no certificate is ordered: {error}")
        if len(found) > MAX_CERTIFICATES:
            self._say_once(
                f"{len(found)} certificates are wanted, and {MAX_CERTIFICATES} are kept; "
                "use wildcards"
            )
        return list(found)[:MAX_CERTIFICATES]

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._refused and len(self._refused) < MAX_CERTIFICATES:
            self._refused.add(sentence)
            self._log.error("%s", sentence)

    async def _load(self, wanted: Sequence[Names]) -> AcmeState:
        """Read what is kept, and hand on certificates that are new to this process."""
        state, usable = await asyncio.to_thread(self._read, wanted, self._now())
        for record in usable:
            self._hand_on(record)
        return state

    def _read(
        self, wanted: Sequence[Names], now: float
    ) -> tuple[AcmeState, list[CertificateRecord]]:
        # In a thread, with the checks: of a thousand certificates they take 0.5 s.
        state = self._storage.load(self._directory)
        usable = []
        for names in wanted:
            record = state.certificates.get(names)
            if record is None or self._serials.get(names) == record.serial:
                continue
            try:
                check_certificate(names, record.chain_pem, record.key_pem, now=now)
            except CertificateError:
                continue  # expired, as it is due then; or it was never kept
            usable.append(record)
        return state, usable

    def _hand_on(self, record: CertificateRecord) -> None:
        self._serials[record.names] = record.serial
        self._hooks.installed(record.names, record.chain_pem, record.key_pem)

    def _due(self, state: AcmeState, wanted: Sequence[Names]) -> _Due:
        now = self._now()
        due = _Due(next_at=now + LOOK_EVERY)
        urgent: list[tuple[float, float, Names]] = []
        for names in wanted:
            record = state.certificates.get(names)
            failure = state.failures.get(names)
            # An order in progress ends what a restart has begun, whatever the certificate says.
            when = 0.0 if record is None or names in state.orders else float(record.renew_at)
            if record is not None and record.not_after <= now:
                when = 0.0
            when = max(when, 0.0 if failure is None else float(failure.retry_at))
            if when <= now:
                count = 0 if failure is None else failure.count
                end = 0.0 if record is None else float(record.not_after)
                urgent.append((count, end, names))
            else:
                due.next_at = min(due.next_at, when)
            if record is not None and record.ari_at <= now:
                due.windows.append(record)
        due.orders = [names for _, _, names in sorted(urgent)]
        return due

    # -- what is done while this process has the lease -------------------------------------------

    async def _work(self, wanted: Sequence[Names]) -> None:
        state = await self._load(wanted)
        due = self._due(state, wanted)
        try:
            async with await self._account.open(state) as client:
                await self._ask_windows(client, due.windows)
                state = await self._load(wanted)
                for names in self._due(state, wanted).orders:
                    if self._now() < self._paused_until or await self._failures.is_capped():
                        return
                    await self._attempt(client, state, names)
        except AcmeError as error:
            # Before any order: the directory's URL or the root file is wrong.
            for names in due.orders:
                await self._fail(state, names, error)

    async def _ask_windows(self, client: AcmeClient, records: Sequence[CertificateRecord]) -> None:
        """Ask the CA when to renew; what it does not say stays as it was chosen."""
        for record in records:
            renew_at, wanted, gone = float(record.renew_at), None, False
            try:
                info = None if record.ari_id is None else await client.renewal_info(record.ari_id)
            except AcmeError as error:
                self._log.debug("the CA does not say when to renew: %s", error)
                info, gone = None, error.kind == UNREACHABLE
            if info is not None:
                wanted = None if info.next_at is None else info.next_at - self._now()
                found = schedule.window_renewal(
                    info.value.suggested_window,
                    chosen=renew_at,
                    not_before=record.not_before,
                    not_after=record.not_after,
                    chance=self._chance,
                )
                renew_at = renew_at if found is None else found
            await asyncio.to_thread(
                self._storage.schedule,
                self._directory,
                record.names,
                renew_at=int(renew_at),
                ari_at=int(self._now() + schedule.ari_delay(wanted)),
            )
            if gone:
                return  # the others in the next look: each may take half a minute

    async def _attempt(self, client: AcmeClient, state: AcmeState, names: Names) -> None:
        """Get one certificate, or note why not."""
        record, failure = state.certificates.get(names), state.failures.get(names)

        async def keep(order: OrderRecord | None) -> None:
            await asyncio.to_thread(self._storage.save_order, self._directory, names, order)
            if order is not None:
                await self._failures.note_order()

        settled = self._settings.profile
        before = None if record is None else record.profile
        ordering = Ordering(
            client=client,
            solvers=self._solvers,
            names=names,
            # A profile that the CA no longer offers was its own choice then: it chooses again.
            profile=settled or (None if failure and failure.kind == "invalidProfile" else before),
            replaces=None if record is None else record.ari_id,
            failures=0 if failure is None else failure.count,
            keep=keep,
            now=self._now,
        )
        try:
            async with asyncio.timeout(ORDER_BOUND):
                await self._account.register(client)
                issued = await ordering.obtain(state.orders.get(names))
        except TimeoutError:
            sentence = (
                f"the order for {name_list(names)} took more than {ORDER_BOUND:.0f} s; "
                "look at what makes its proofs visible; it is gone on with later"
            )
            await self._fail(state, names, AcmeError(sentence, kind="slow"))
        except (AcmeError, SolverError, CertificateError) as error:
            if isinstance(error, AcmeError) and error.kind == "accountDoesNotExist":
                await self._account.forget_url(client)
            await self._fail(state, names, error)
        else:
            await self._keep(names, issued)

    async def _keep(self, names: Names, issued: Issued) -> None:
        checked, now = issued.checked, self._now()
        renew_at = schedule.lifetime_renewal(checked.not_before, checked.not_after, self._chance)
        record = CertificateRecord(
            names=names,
            chain_pem=issued.chain_pem,
            key_pem=issued.key_pem,
            not_before=int(checked.not_before),
            not_after=int(checked.not_after),
            ari_id=checked.ari_id,
            profile=issued.profile,
            serial=checked.serial,
            issuer=checked.issuer,
            created_at=int(now),
            renew_at=int(renew_at),
            ari_at=int(now + schedule.ari_delay(None)),
        )
        await asyncio.to_thread(self._storage.save_certificate, self._directory, record)
        self._hand_on(record)

    async def _fail(self, state: AcmeState, names: Names, error: Exception) -> None:
        retry_at = await self._failures.add(state, names, error)
        if isinstance(error, AcmeError) and error.kind in schedule.CA_WIDE:
            # The other names would get the same answer.
            self._paused_until = min(retry_at, self._now() + LONGEST_PAUSE)
