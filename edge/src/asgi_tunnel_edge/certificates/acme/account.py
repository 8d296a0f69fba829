"""The edge's account with a CA: its key, kept before the CA hears of it, and its URL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .client import AcmeClient, ExternalAccount, Now, Sleep
from .jws import AccountKey
from .records import AccountRecord

if TYPE_CHECKING:
    from .records import AcmeState, AcmeStorage

__all__ = ["Account", "AcmeSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """Which CA, and as whom."""

    directory_url: str
    contact: Sequence[str] = ()  #: e-mail addresses
    profile: str | None = None  #: None: that of the certificate before, or the CA's own choice
    root: Path | None = None  #: of a private CA
    external: ExternalAccount | None = None  #: unless one is kept


class Account:
    """Opens clients for the account, and makes it with the CA when it is needed.

    Args:
        settings: Which CA, and as whom.
        storage: Where the key is kept; called in a thread.
        now: Seconds since 1970.
        sleep: Waits.
    """

    def __init__(
        self, settings: AcmeSettings, storage: AcmeStorage, *, now: Now, sleep: Sleep
    ) -> None:
        self._settings = settings
        self._external = settings.external
        self._storage = storage
        self._now = now
        self._sleep = sleep

    async def open(self, state: AcmeState) -> AcmeClient:
        """A client; the CA is not asked yet.

        Raises:
            AcmeError: The URL is none that a directory may have.
            StorageError: The new key cannot be kept.
        """
        kept = state.external
        if kept is not None:
            self._external = ExternalAccount(key_id=kept.key_id, mac_key=kept.mac_key)
        account = state.account
        if account is None:
            # Kept before the CA knows it: a crash must not leave an account without its key.
            account = await self._keep(AccountKey.generate(), None)
        return AcmeClient(
            self._settings.directory_url,
            AccountKey.from_pem(account.key_pem),
            account_url=account.url,
            root=self._settings.root,
            now=self._now,
            sleep=self._sleep,
        )

    async def register(self, client: AcmeClient) -> None:
        """Make the account with the CA, or find it, unless its URL is known."""
        if client.account_url is None:
            settings = self._settings
            url = await client.register(contact=settings.contact, external=self._external)
            await self._keep(client.key, url)

    async def forget_url(self, client: AcmeClient) -> None:
        """The CA does not know the account: the next try makes it, with the same key."""
        client.account_url = None
        await self._keep(client.key, None)

    async def _keep(self, key: AccountKey, url: str | None) -> AccountRecord:
        account = AccountRecord(url=url, key_pem=key.to_pem(), created_at=int(self._now()))
        await asyncio.to_thread(self._storage.save_account, self._settings.directory_url, account)
        return account
