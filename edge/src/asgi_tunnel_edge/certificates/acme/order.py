"""From names to a certificate: the steps of one order, which a restart does not lose.

It leaves to ``client`` how a request is made, and to ``issuer`` when to order and what to do with a
refusal. Each step may be repeated: an order that was kept is looked at, and gone on with from where
the CA says it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asgi_tunnel_edge.errors import AcmeError, CertificateError, SolverError, shown

from .certificate import CheckedCertificate, certificate_request, check_certificate, new_key
from .challenges import proof
from .names import base_name
from .problems import ORDER_STAYS, explain, name_list
from .records import OrderRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .client import AcmeClient, Now
    from .messages import Authorization, Challenge, Order
    from .solver import Solver

__all__ = ["Issued", "KeepOrder", "Ordering"]

KeepOrder = Callable[[OrderRecord | None], Awaitable[None]]
"""Keeps the order in progress, or forgets it (None); a restart begins with what is kept."""

SHOW_BOUND: Final = 600.0
"""Seconds until a proof is visible: servers of a DNS zone may take minutes to agree."""

CLEAR_BOUND: Final = 10.0
"""Seconds to take a proof away, also when the edge stops."""

_log = logging.getLogger("asgi_tunnel_edge.certificates")

_OPEN: Final = frozenset({"pending", "ready", "processing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was checked."""

    chain_pem: bytes
    key_pem: bytes
    profile: str | None  #: what the CA says that it is, or what was asked for
    checked: CheckedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Orders one certificate.

    Attributes:
        client: Of the account.
        solvers: The first one whose kind the CA offers is used; the next, when it cannot.
        names: In their one form.
        profile: The CA's profile; None: its own choice.
        replaces: The ARI id of the certificate that this one replaces.
        failures: How often it failed before: each time another kind of challenge comes first, so
            that one kind that never works does not keep the others from being tried.
        keep: Called before anything that a restart has to know.
        now: Seconds since 1970.
    """

    client: AcmeClient
    solvers: Sequence[Solver]
    names: tuple[str, ...]
    profile: str | None
    replaces: str | None
    failures: int
    keep: KeepOrder
    now: Now

    async def obtain(self, kept: OrderRecord | None) -> Issued:
        """Get the certificate.

        Cancelling it, or a restart, loses nothing: what was kept goes into the next call. The order
        stays kept until the caller has kept the certificate.

        Raises:
            AcmeError: The CA refused, or could not be reached.
            SolverError: No proof can be made visible.
            CertificateError: What the CA issued cannot be used.
        """
        record, order = await self._begin(kept)
        try:
            if order.status == "pending":
                await self._authorize(order)
                order = await self._next(record, "pending")
            if order.status == "ready":
                csr = certificate_request(self.names, record.key_pem)
                order = await self.client.finalize(order, csr, self.names)
            if order.status in {"processing", "ready"}:
                order = await self._next(record, "processing", "ready")
            if order.status != "valid":
                raise self._refused(order)
            chain_pem = await self.client.certificate(order)
            checked = check_certificate(self.names, chain_pem, record.key_pem, now=self.now())
        except (AcmeError, CertificateError) as error:
            if not (isinstance(error, AcmeError) and error.kind in ORDER_STAYS):
                await self.keep(None)  # the next try needs a new one
            raise
        return Issued(
            chain_pem=chain_pem,
            key_pem=record.key_pem,
            profile=order.profile or record.profile,
            checked=checked,
        )

    async def _begin(self, kept: OrderRecord | None) -> tuple[OrderRecord, Order]:
        if kept is not None:
            try:
                order = (await self.client.order(kept.url)).value
            except AcmeError as error:
                if error.kind in ORDER_STAYS:
                    raise
                order = None  # the CA has forgotten it: orders expire
            if order is not None and order.status in {*_OPEN, "valid"}:
                return kept, order
            await self.keep(None)
        # Before the order: of one whose key was lost there would never be a certificate.
        key_pem = new_key()
        url, order = await self.client.new_order(
            self.names, profile=self.profile, replaces=self.replaces
        )
        record = OrderRecord(
            names=self.names,
            url=url,
            key_pem=key_pem,
            profile=self.profile,
            created_at=int(self.now()),
        )
        await self.keep(record)
        return record, order

    async def _next(self, record: OrderRecord, *pending: str) -> Order:
        return await self.client.wait_order(
            record.url, pending=frozenset(pending), names=self.names
        )

    async def _authorize(self, order: Order) -> None:
        """Show all proofs, let the CA look for them, and take them away whatever it says."""
        shown_proofs: list[tuple[Solver, str, str]] = []
        waiting: list[tuple[str, str]] = []
        try:
            answers: list[tuple[Challenge, str]] = []
            for url in order.authorizations:
                found = (await self.client.authorization(url, self.names)).value
                name = found.identifier.value
                self._look(found)
                if found.status == "pending":
                    answers.append((await self._present(found, shown_proofs), name))
                    waiting.append((url, name))
            for challenge, name in answers:
                if challenge.status == "pending":
                    await self.client.answer(challenge, [name])
            for url, name in waiting:
                self._look(await self.client.wait_authorization(url, [name]))
        finally:
            for solver, name, value in reversed(shown_proofs):
                await _clear(solver, name, value)

    def _look(self, found: Authorization) -> None:
        if base_name(found.identifier.value) not in {base_name(name) for name in self.names}:
            # A solver must never be made to show a proof for a name that nobody ordered.
            sentence = (
                f"the CA {self.client.host} asks for a proof for "
                f"{shown(found.identifier.value)}, which was not ordered; use another CA"
            )
            raise AcmeError(sentence, kind="malformed")
        if found.status in {"pending", "valid"}:
            return
        name = found.identifier.value
        for challenge in found.challenges:
            if challenge.error is not None:
                raise explain(challenge.error, ca=self.client.host, names=[name])
        sentence = (
            f"the CA {self.client.host} no longer accepts a proof for {name} (it is "
            f"{shown(found.status)}); it is ordered again"
        )
        raise AcmeError(sentence, kind="unauthorized")

    async def _present(
        self, found: Authorization, shown_proofs: list[tuple[Solver, str, str]]
    ) -> Challenge:
        """Show the proof of the first kind that can be; note it, and return its challenge."""
        name = base_name(found.identifier.value)
        wildcard = found.wildcard or found.identifier.value.startswith("*.")
        choices = [
            (solver, challenge)
            for solver in self.solvers
            for challenge in found.challenges
            if challenge.type == solver.kind and challenge.status in {"pending", "processing"}
        ]
        started = [one for one in choices if one[1].status == "processing"]
        turn = self.failures % len(choices) if choices else 0
        why = ""
        for solver, challenge in started or choices[turn:] + choices[:turn]:
            try:
                value = proof(
                    challenge,
                    thumbprint=self.client.key.thumbprint,
                    account_url=self.client.account_url or "",
                    wildcard=wildcard,
                )
                await _show(solver, name, value)
            except (SolverError, AcmeError) as error:
                why = f"{why}; {error}" if why else str(error)
                continue
            shown_proofs.append((solver, name, value))
            return challenge
        if why:
            raise SolverError(why)
        offered = ", ".join(shown(challenge.type) for challenge in found.challenges)
        has = ", ".join(solver.kind for solver in self.solvers) or "none"
        what = f"*.{name}" if wildcard else name
        sentence = (
            f"the CA {self.client.host} offers {offered or 'nothing'} to prove {what}, "
            f"and {has} is set up here; set up one that it offers (a wildcard needs DNS)"
        )
        raise SolverError(sentence)

    def _refused(self, order: Order) -> AcmeError:
        if order.error is not None:
            return explain(order.error, ca=self.client.host, names=self.names)
        sentence = (
            f"the CA {self.client.host} ended the order for {name_list(self.names)} (it is "
            f"{shown(order.status)}) without saying why; it is ordered again"
        )
        return AcmeError(sentence, kind="orderEnded")


async def _show(solver: Solver, name: str, value: str) -> None:
    try:
        async with asyncio.timeout(SHOW_BOUND):
            await solver.present(name, value)
    except TimeoutError as error:
        sentence = (
            f"the proof of {solver.kind} for {name} was not visible within {SHOW_BOUND:.0f} s; "
            "look whether what makes it works, by hand"
        )
        raise SolverError(sentence) from error


async def _clear(solver: Solver, name: str, value: str) -> None:
    try:
        async with asyncio.timeout(CLEAR_BOUND):
            await solver.clear(name, value)
    except TimeoutError:
        _log.warning("taking away the proof of %s for %s took too long", solver.kind, name)
