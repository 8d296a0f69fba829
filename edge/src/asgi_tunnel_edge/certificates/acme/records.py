"""What the issuer keeps between two starts, and the seam to where it is kept.

Times are whole seconds since 1970, UTC. Names are in their one form, sorted. Everything belongs to
the URL of a CA's directory: what came from a staging directory is never mixed with the real one.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

__all__ = [
    "KEEP",
    "AccountRecord",
    "AcmeState",
    "AcmeStorage",
    "CertificateRecord",
    "ExternalAccountRecord",
    "FailureRecord",
    "OrderRecord",
]

KEEP: Final = 30 * 24 * 3600
"""Seconds that what is over stays for a look: expired certificates, old failures and orders."""


class AccountRecord(Struct, frozen=True, kw_only=True):
    """An account with a CA. Its key is kept encrypted."""

    url: str | None  #: None: the CA does not know the key yet, or no longer
    key_pem: bytes
    created_at: int


class ExternalAccountRecord(Struct, frozen=True, kw_only=True):
    """What a CA gave to its customer. Its key is kept encrypted."""

    key_id: str
    mac_key: str  #: base64url, as CAs show it

    def __repr__(self) -> str:
        return f"ExternalAccountRecord(key_id={self.key_id!r}, mac_key='***')"


class CertificateRecord(Struct, frozen=True, kw_only=True):
    """The newest certificate for some names. Its key is kept encrypted."""

    names: tuple[str, ...]
    chain_pem: bytes
    key_pem: bytes
    not_before: int
    not_after: int
    ari_id: str | None
    profile: str | None
    serial: str
    issuer: str
    created_at: int
    renew_at: int
    """When to order the next one. 0: somebody asked for it."""

    ari_at: int
    """When to ask the CA again when to renew."""


class OrderRecord(Struct, frozen=True, kw_only=True):
    """An order in progress. Its key is kept encrypted."""

    names: tuple[str, ...]
    url: str
    key_pem: bytes
    profile: str | None
    created_at: int


class FailureRecord(Struct, frozen=True, kw_only=True):
    """Failures for some names since the last success."""

    names: tuple[str, ...]
    kind: str
    count: int
    failed_at: int
    retry_at: int
    reported_at: int
    sentence: str


class AcmeState(Struct, frozen=True, kw_only=True):
    """Everything of one directory, of one moment."""

    account: AccountRecord | None = None
    external: ExternalAccountRecord | None = None
    certificates: dict[tuple[str, ...], CertificateRecord] = {}
    orders: dict[tuple[str, ...], OrderRecord] = {}
    failures: dict[tuple[str, ...], FailureRecord] = {}


class AcmeStorage(Protocol):
    """Keeps it. Every method may block for a moment, and raises StorageError."""

    def load(self, directory: str) -> AcmeState:
        """Read everything of a directory."""

    def save_account(self, directory: str, account: AccountRecord) -> None:
        """Keep the account, in place of the one before."""

    def save_order(self, directory: str, names: tuple[str, ...], order: OrderRecord | None) -> None:
        """Keep the order in progress for some names, or forget it."""

    def save_certificate(self, directory: str, certificate: CertificateRecord) -> None:
        """Keep a certificate, in place of the one before, and forget failures for its names."""

    def save_failure(self, directory: str, failure: FailureRecord) -> None:
        """Keep a failure, in place of the one before."""

    def schedule(
        self, directory: str, names: tuple[str, ...], *, renew_at: int, ari_at: int
    ) -> None:
        """Note when a certificate is renewed; nothing, where there is none."""

    def count_attempts(self, directory: str, *, since: int) -> tuple[int, int]:
        """(orders begun, failures) since a time; older ones may be forgotten."""

    def note_attempt(self, directory: str, *, at: int, failed: bool) -> None:
        """Note that an order was begun, or that one failed."""

    def acquire_lease(self, directory: str, holder: str, *, now: float, until: float) -> bool:
        """Take the lease of a directory or renew it; False: somebody else has it."""

    def release_lease(self, directory: str, holder: str) -> None:
        """Give the lease back, if this holder has it."""
