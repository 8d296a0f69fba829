"""The requests of ACME (RFC 8555), with ARI (RFC 9773) and profiles, for one account at one CA.

It leaves to ``order`` in which sequence they are made, and to ``issuer`` when. Whatever a CA says
is read with bounds, and a refusal is one AcmeError with a sentence.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from asgi_tunnel_edge.errors import AcmeError, shown

from .jws import base64url, decode_base64url
from .messages import (
    AccountObject,
    Authorization,
    Challenge,
    Directory,
    Order,
    Problem,
    RenewalInfo,
    read,
)
from .names import identifier
from .problems import UNREACHABLE, explain, name_list
from .transport import Http, Reply, check_url, retry_after

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .jws import AccountKey

__all__ = ["AcmeClient", "ExternalAccount", "Now", "Sleep", "Timed"]

Now = Callable[[], float]
"""Seconds since 1970."""

Sleep = Callable[[float], Awaitable[None]]
"""Seconds."""

MAX_NONCES: Final = 16
"""Nonces that are kept: one comes with each reply, and one is used by each request."""

MAX_NONCE_TRIES: Final = 20
"""Requests until a nonce is taken: of a CA that refuses 30 in 100, one in 10^10 fails."""

POLL_BOUND: Final = 300.0
"""Seconds in which a CA has to check a proof or to issue: public ones take 5 to 60. An order that
takes longer is gone on with at the issuer's next try."""

POLL_MIN: Final = 0.5  # seconds, whatever Retry-After says
POLL_MAX: Final = 30.0

_PROBLEM: Final = "application/problem+json"
_REPLACES_REFUSED: Final = frozenset({"alreadyReplaced", "malformed", "serverInternal"}) | {
    "unauthorized"
}
"""Kinds with which CAs refuse ``replaces``: RFC 9773 section 5 names the first only, for an old
certificate of another account or another CA they use the others."""

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,512}").fullmatch  # RFC 8555 section 6.5.1

_T = TypeVar("_T")
_S = TypeVar("_S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAccount:
    """What a CA gave to its customer (RFC 8555 section 7.3.4)."""

    key_id: str
    mac_key: str  #: base64url, as CAs show it

    def secret(self) -> bytes:
        """The key's bytes.

        Raises:
            AcmeError: It is not base64url.
        """
        try:
            found = decode_base64url(self.mac_key)
        except ValueError:
            found = b""
        if not found:
            sentence = "the HMAC key of the CA is not base64url; copy it again from the CA's page"
            raise AcmeError(sentence)
        return found


@dataclass(frozen=True, slots=True)
class Timed(Generic[_T]):
    """Something read, and when the CA wants the next look (seconds since 1970), if it said so."""

    value: _T
    next_at: float | None


class AcmeClient:
    """One account at one CA; used by one task at a time, as a context manager.

    Every method raises AcmeError; cancelling one loses its reply, nothing else: each may be called
    again.

    Args:
        directory_url: Where the CA's directory is; https, or http on this machine.
        key: Of the account.
        account_url: Of the account; None: :meth:`register` comes first.
        root: The root certificate of a private CA, in PEM form.
        now: Seconds since 1970.
        sleep: Waits between two looks.
    """

    def __init__(
        self,
        directory_url: str,
        key: AccountKey,
        *,
        account_url: str | None = None,
        root: Path | None = None,
        now: Now = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._http = Http(directory_url, root=root)
        self.directory_url = directory_url
        self.key = key
        self.account_url = account_url
        self.host = urlsplit(directory_url).hostname or ""  #: names the CA in sentences
        self._now = now
        self._sleep = sleep
        self._directory: Directory | None = None
        self._nonces: deque[str] = deque(maxlen=MAX_NONCES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def directory(self) -> Directory:
        """Where everything is; asked for once."""
        if self._directory is None:
            reply = await self._http.request("GET", self.directory_url)
            if reply.status != 200:
                raise self._refusal(reply, ())
            self._directory = read(reply.body, Directory)
        return self._directory

    async def register(
        self, *, contact: Sequence[str] = (), external: ExternalAccount | None = None
    ) -> str:
        """Make the account of this key, or find it; agrees to the CA's terms.

        Args:
            contact: E-mail addresses.
            external: Where the CA takes customers only.

        Returns:
            The account's URL, which names the key from now on.
        """
        directory = await self.directory()
        payload: dict[str, object] = {"termsOfServiceAgreed": True}
        if contact:
            payload["contact"] = [f"mailto:{address}" for address in contact]
        if external is not None:
            payload["externalAccountBinding"] = self.key.bind(
                key_id=external.key_id, mac_key=external.secret(), url=directory.new_account
            )
        return await self._account(payload)

    async def find_account(self) -> str:
        """The URL of this key's account; ``kind`` is ``accountDoesNotExist`` when there is none."""
        return await self._account({"onlyReturnExisting": True})

    async def new_order(
        self, names: Sequence[str], *, profile: str | None = None, replaces: str | None = None
    ) -> tuple[str, Order]:
        """Order a certificate.

        Args:
            names: In their one form (:func:`.names.normal_names`).
            profile: One of those in the directory's meta; None: the CA's own choice.
            replaces: The ARI id of the certificate that the new one is for; when the CA does not
                accept it, the order is made without it.

        Returns:
            The order's URL and the order.
        """
        directory = await self.directory()
        payload: dict[str, object] = {"identifiers": [identifier(name) for name in names]}
        if profile is not None:
            offered = directory.meta.profiles
            if offered and profile not in offered:
                sentence = (
                    f"the CA {self.host} does not offer the profile {shown(profile)}; ask for one "
                    f"of {', '.join(shown(name) for name in list(offered)[:8])}, or for none"
                )
                raise AcmeError(sentence, kind="invalidProfile")
            payload["profile"] = profile
        if replaces is not None and directory.renewal_info is not None:
            try:
                return await self._order({**payload, "replaces": replaces}, names)
            except AcmeError as error:
                if error.kind not in _REPLACES_REFUSED:
                    raise
        return await self._order(payload, names)

    async def order(self, url: str) -> Timed[Order]:
        """Look at an order."""
        return await self._get(url, Order)

    async def authorization(self, url: str, names: Sequence[str] = ()) -> Timed[Authorization]:
        """Look at an authorization."""
        return await self._get(url, Authorization, names)

    async def answer(self, challenge: Challenge, names: Sequence[str] = ()) -> None:
        """Let the CA look for the proof of a challenge, which has to be visible by now."""
        await self._post(challenge.url, {}, names=names)

    async def finalize(self, order: Order, csr: bytes, names: Sequence[str] = ()) -> Order:
        """Send the certificate request (DER) of an order that is ready."""
        reply = await self._post(order.finalize, {"csr": base64url(csr)}, names=names)
        return read(reply.body, Order)

    async def certificate(self, order: Order) -> bytes:
        """The certificates of an order that is valid, PEM, the new one first; not checked."""
        if order.certificate is None:
            raise AcmeError(f"the CA {self.host} says where no certificate is; it is tried again")
        return (await self._post(order.certificate, None)).body

    async def wait_authorization(self, url: str, names: Sequence[str] = ()) -> Authorization:
        """Look until the CA has decided, ``POLL_BOUND`` seconds at the most."""
        return await self._wait(
            lambda: self.authorization(url, names),
            lambda found: found.status != "pending",
            f"checked the proof for {name_list(names)}",
        )

    async def wait_order(self, url: str, *, pending: frozenset[str], names: Sequence[str]) -> Order:
        """Look until an order has another status than these, ``POLL_BOUND`` seconds at the most."""
        return await self._wait(
            lambda: self.order(url),
            lambda found: found.status not in pending,
            f"issued for {name_list(names)}",
        )

    async def renewal_info(self, cert_id: str) -> Timed[RenewalInfo] | None:
        """When the CA wants a certificate to be renewed; None: it does not say such things.

        Args:
            cert_id: As :func:`.certificate.ari_id` makes it.
        """
        base = (await self.directory()).renewal_info
        if base is None:
            return None
        reply = await self._http.request("GET", f"{base.rstrip('/')}/{cert_id}")
        if reply.status != 200:
            raise self._refusal(reply, ())
        return Timed(read(reply.body, RenewalInfo), retry_after(reply, self._now()))

    async def revoke(self, certificate: bytes, *, reason: int = 0) -> None:
        """Take a certificate back.

        Args:
            certificate: DER.
            reason: RFC 5280 section 5.3.1; 1: its key was stolen, 4: superseded.
        """
        directory = await self.directory()
        payload = {"certificate": base64url(certificate), "reason": reason}
        await self._post(directory.revoke_cert, payload)

    # -- below: how a request is made -----------------------------------------------------------

    async def _account(self, payload: dict[str, object]) -> str:
        directory = await self.directory()
        reply = await self._post(directory.new_account, payload, with_key=True)
        account = read(reply.body, AccountObject)
        if account.status != "valid":
            sentence = (
                f"this edge's account with the CA {self.host} is {shown(account.status)}; "
                "make a new one: take the old one's key away"
            )
            raise AcmeError(sentence, kind="unauthorized")
        self.account_url = self._location(reply)
        return self.account_url

    async def _order(self, payload: dict[str, object], names: Sequence[str]) -> tuple[str, Order]:
        directory = await self.directory()
        reply = await self._post(directory.new_order, payload, names=names)
        return self._location(reply), read(reply.body, Order)

    async def _get(self, url: str, what: type[_S], names: Sequence[str] = ()) -> Timed[_S]:
        reply = await self._post(url, None, names=names)
        return Timed(read(reply.body, what), retry_after(reply, self._now()))

    async def _post(
        self, url: str, payload: object, *, names: Sequence[str] = (), with_key: bool = False
    ) -> Reply:
        """Send something signed, with a new nonce until the CA takes one."""
        if not with_key and self.account_url is None:
            await self.find_account()
        kid = None if with_key else self.account_url
        refusal = None
        for _ in range(MAX_NONCE_TRIES):
            nonce = await self._nonce()
            body = self.key.sign(payload, url=url, nonce=nonce, account_url=kid)
            reply = await self._http.request(
                "POST", url, content=body, kind="application/jose+json"
            )
            refusal = None if 200 <= reply.status < 300 else self._refusal(reply, names)
            if refusal is not None and refusal.kind == "badNonce":
                self._nonces.clear()  # the others may be as old
            self._keep_nonce(reply)
            if refusal is None:
                return reply
            if refusal.kind != "badNonce":
                break
        assert refusal is not None
        raise refusal

    async def _nonce(self) -> str:
        if not self._nonces:
            directory = await self.directory()
            reply = await self._http.request("HEAD", directory.new_nonce)
            self._keep_nonce(reply)
            if not self._nonces:
                sentence = f"the CA {self.host} gives no nonce; it is tried again"
                raise AcmeError(sentence, kind=UNREACHABLE)
        return self._nonces.popleft()

    def _keep_nonce(self, reply: Reply) -> None:
        nonce = reply.headers.get("replay-nonce", "")
        if _NONCE(nonce):
            self._nonces.append(nonce)

    def _location(self, reply: Reply) -> str:
        url = reply.headers.get("location", "")
        check_url(url, plaintext=self._http.plaintext)
        return url

    def _refusal(self, reply: Reply, names: Sequence[str]) -> AcmeError:
        problem = Problem(detail=f"HTTP status {reply.status}")
        if reply.headers.get("content-type", "").partition(";")[0].strip().lower() == _PROBLEM:
            try:
                problem = read(reply.body, Problem)
            except AcmeError:
                pass  # the status says enough
        if not problem.kind and (reply.status == 429 or reply.status >= 500):
            kind = "rateLimited" if reply.status == 429 else "serverInternal"
            problem = msgspec.structs.replace(problem, type=f"urn:ietf:params:acme:error:{kind}")
        when = retry_after(reply, self._now())
        return explain(problem, ca=self.host, names=names, retry_at=when)

    async def _wait(
        self,
        look: Callable[[], Awaitable[Timed[_T]]],
        is_decided: Callable[[_T], bool],
        what: str,
    ) -> _T:
        waited, pause = 0.0, POLL_MIN
        while True:
            found = await look()
            if is_decided(found.value):
                return found.value
            if waited >= POLL_BOUND:
                sentence = (
                    f"the CA {self.host} has not {what} within {POLL_BOUND:.0f} s; "
                    "the next try goes on with this order"
                )
                raise AcmeError(sentence, kind=UNREACHABLE)
            wanted = pause if found.next_at is None else found.next_at - self._now()
            wanted = min(max(wanted, POLL_MIN), POLL_MAX)
            await self._sleep(wanted)
            waited += wanted
            pause = min(pause * 1.5, POLL_MAX)
