"""The issuer's storage without a disk, for tests in which months pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from asgi_tunnel_edge.certificates.acme.records import (
    AccountRecord,
    AcmeState,
    CertificateRecord,
    FailureRecord,
    OrderRecord,
)

Names = tuple[str, ...]


@dataclass
class MemoryStorage:
    """What ``AcmeStore`` keeps, in dictionaries."""

    states: defaultdict[str, AcmeState] = field(default_factory=lambda: defaultdict(AcmeState))
    attempts: list[tuple[str, int, bool]] = field(default_factory=list)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)

    def load(self, directory: str) -> AcmeState:
        """Read everything of a directory."""
        return self.states[directory]

    def _change(self, directory: str, change: Callable[[AcmeState], AcmeState]) -> None:
        self.states[directory] = change(self.states[directory])

    def save_account(self, directory: str, account: AccountRecord) -> None:
        """Keep the account."""
        self._change(directory, lambda state: msgspec.structs.replace(state, account=account))

    def save_order(self, directory: str, names: Names, order: OrderRecord | None) -> None:
        """Keep an order, or forget it."""
        orders = {key: one for key, one in self.states[directory].orders.items() if key != names}
        if order is not None:
            orders[names] = order
        self._change(directory, lambda state: msgspec.structs.replace(state, orders=orders))

    def save_certificate(self, directory: str, certificate: CertificateRecord) -> None:
        """Keep a certificate; its order and failures go."""
        self.save_order(directory, certificate.names, None)
        state = self.states[directory]
        failures = {key: one for key, one in state.failures.items() if key != certificate.names}
        certificates = {**state.certificates, certificate.names: certificate}
        self.states[directory] = msgspec.structs.replace(
            state, failures=failures, certificates=certificates
        )

    def save_failure(self, directory: str, failure: FailureRecord) -> None:
        """Keep a failure."""
        state = self.states[directory]
        failures = {**state.failures, failure.names: failure}
        self.states[directory] = msgspec.structs.replace(state, failures=failures)

    def schedule(self, directory: str, names: Names, *, renew_at: int, ari_at: int) -> None:
        """Note when a certificate is renewed."""
        state = self.states[directory]
        certificate = state.certificates[names]
        wanted = renew_at if certificate.renew_at else 0
        changed = msgspec.structs.replace(certificate, renew_at=wanted, ari_at=ari_at)
        certificates = {**state.certificates, names: changed}
        self.states[directory] = msgspec.structs.replace(state, certificates=certificates)

    def request_renewal(self, directory: str, names: Names) -> bool:
        """Ask for a renewal, as the command line does."""
        state = self.states[directory]
        changed = msgspec.structs.replace(state.certificates[names], renew_at=0)
        certificates = {**state.certificates, names: changed}
        self.states[directory] = msgspec.structs.replace(state, certificates=certificates)
        return True

    def count_attempts(self, directory: str, *, since: int) -> tuple[int, int]:
        """(orders begun, failures) since a time."""
        found = [failed for one, at, failed in self.attempts if one == directory and at >= since]
        return found.count(False), found.count(True)

    def note_attempt(self, directory: str, *, at: int, failed: bool) -> None:
        """Note an order or a failure."""
        self.attempts.append((directory, at, failed))

    def acquire_lease(self, directory: str, holder: str, *, now: float, until: float) -> bool:
        """Take the lease, or renew it."""
        has, end = self.leases.get(directory, (holder, 0.0))
        if has != holder and end > now:
            return False
        self.leases[directory] = holder, until
        return True

    def release_lease(self, directory: str, holder: str) -> None:
        """Give it back."""
        if self.leases.get(directory, ("", 0.0))[0] == holder:
            del self.leases[directory]
