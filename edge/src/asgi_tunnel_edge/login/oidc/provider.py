"""What is known of one provider: where its parts are (discovery), and its keys.

Both are asked for when the first person logs in, and kept. A key that is not known yet has the
keys asked for again, so that a provider may change them at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import import_key

from ...errors import shown
from ...settings.oidc import is_provider_url
from .fetch import Fetcher
from .problems import ProviderError, unreachable

if TYPE_CHECKING:
    from joserfc.jwk import Key

    from ...settings.oidc import OidcConfig

__all__ = ["ALGORITHMS", "Metadata", "Provider", "SigningKey", "parse_keys"]

STEP_TIMEOUT: Final = 4.5
"""Seconds for all requests of one step of a login: what a person waits at most."""

MAX_LOGINS: Final = 64
"""Logins with one provider that are in progress at one time; one more gets 503 at once."""

MAX_ADDRESS_LOGINS: Final = 16
"""The same of one address (IPv6: of one /64), so that it does not take all of them."""

METADATA_FOR: Final = 3600.0
"""Seconds for which the addresses of a provider's parts are kept."""

KEYS_FOR: Final = 3600.0
"""Seconds for which its keys are kept: one that was withdrawn is worth nothing after that."""

KEYS_PAUSE: Final = 60.0
"""Seconds between two times that the keys are asked for because one is not known."""

FAILED_FOR: Final = 3.0
"""Seconds in which nobody waits for a provider again that has just failed to say where it is."""

MAX_KEYS: Final = 100
"""Keys of one provider that are looked at; the largest have ten."""

MIN_RSA: Final = 2048
"""Bits of an RSA key. (RFC 7518 section 3.3)"""

MAX_RSA: Final = 8192
"""The same: a longer one only costs time."""

MAX_NAME: Final = 255
"""Characters of a key's name."""

#: By algorithm: what a key for it is. Neither "none" nor a shared secret (HS256): a signature that
#: only the provider can make is what a login rests on.
ALGORITHMS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}

_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_KINDS: Final = frozenset(ALGORITHMS.values())


class Metadata(NamedTuple):
    """Where the parts of a provider are."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    takes_basic: bool  #: the client's secret as basic authentication; else in the form
    names_issuer: bool  #: it adds ``iss`` to what it sends back (RFC 9207)


class SigningKey(NamedTuple):
    """One key of a provider's."""

    name: str | None  #: kid
    kind: str  #: RSA, or its curve
    algorithm: str | None  #: the only one that it is for; None: all of its kind
    key: Key


class Provider:
    """See the module. Close it with :meth:`aclose`.

    Args:
        name: As ``edge.toml`` has it.
        settings: Its table.
        secret: Of the client; None: it has none.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        settings: OidcConfig,
        secret: str | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.settings = settings
        self.secret = secret
        self.fetcher = Fetcher(is_local=settings.is_local)
        self._clock = clock
        self._logins: Counter[str] = Counter()  # in progress, by the group of an address
        self._asking = asyncio.Lock()
        self._metadata: Metadata | None = None
        self._metadata_at = 0.0
        self._failed: ProviderError | None = None
        self._failed_at = 0.0
        self._keys: list[SigningKey] | None = None
        self._keys_at = 0.0

    @property
    def label(self) -> str:
        """What people call it."""
        return self.settings.label or self.name.capitalize()

    async def aclose(self) -> None:
        """Close the connections to it."""
        await self.fetcher.aclose()

    @asynccontextmanager
    async def step(self, group: str) -> AsyncIterator[None]:
        """Bound one step of a login: how long it takes, and how many there are at one time.

        Args:
            group: Of the visitor's address.

        Raises:
            ProviderError: There are too many, or it took too long.
        """
        logins = self._logins
        if logins.total() >= MAX_LOGINS or logins[group] >= MAX_ADDRESS_LOGINS:
            text = "Many people log in at this moment. Try again in a few seconds."
            raise ProviderError(text, f"{logins.total()} logins are in progress", status=503)
        logins[group] += 1
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                yield
        except TimeoutError as error:
            raise unreachable(f"it took longer than {STEP_TIMEOUT} s") from error
        finally:
            logins[group] -= 1
            if not logins[group]:
                del logins[group]

    async def metadata(self) -> Metadata:
        """Return where its parts are. Cancelling it loses nothing.

        Raises:
            ProviderError: It cannot be reached, or says something else than settings do.
        """
        async with self._asking:
            now = self._clock()
            if self._metadata is not None and now - self._metadata_at < METADATA_FOR:
                return self._metadata
            failed = self._failed
            if failed is not None and now - self._failed_at < FAILED_FOR:
                raise ProviderError(failed.text, failed.detail, status=failed.status)
            try:
                self._metadata = await self._discover()
            except ProviderError as error:
                self._failed, self._failed_at = error, self._clock()
                raise
            self._metadata_at, self._failed = self._clock(), None
            return self._metadata

    async def keys(self) -> list[SigningKey]:
        """Return the keys that it publishes now. Cancelling it loses nothing.

        Raises:
            ProviderError: They cannot be had.
        """
        metadata = await self.metadata()
        async with self._asking:
            await self._fetch_keys(metadata)
            return list(self._keys or [])

    async def key(self, name: str | None, algorithm: str) -> SigningKey:
        """Return the key with which it signed a token. Cancelling it loses nothing.

        Args:
            name: kid of the token; None: it has none, and then there may be one key only.
            algorithm: One of ``ALGORITHMS``.

        Raises:
            ProviderError: There is no such key, or the keys cannot be had.
        """
        metadata = await self.metadata()
        async with self._asking:
            age = self._clock() - self._keys_at
            is_new = self._keys is None or age >= KEYS_FOR
            if is_new:
                await self._fetch_keys(metadata)
            found = _pick(self._keys or [], name, algorithm)
            if found is None and not is_new and age >= KEYS_PAUSE:
                await self._fetch_keys(metadata)
                found = _pick(self._keys or [], name, algorithm)
        if found is None:
            text = "{label} signs with a key that it does not publish. Try again in a minute."
            which = "no kid" if name is None else f"kid {shown(name)}"
            raise ProviderError(text, f"there is no key for its token ({which}, {algorithm})")
        return found

    async def _discover(self) -> Metadata:
        issuer = self.settings.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        reply = await self.fetcher.request(url)
        if reply.status != 200:
            raise unreachable(f"its configuration has status {reply.status}; look at `issuer`")
        table = reply.table("its configuration")
        if table.get("issuer") != issuer:
            other = shown(str(table.get("issuer")))
            raise unreachable(f"it calls itself {other}, and `issuer` is {shown(issuer)}")

        def endpoint(name: str) -> str:
            found = table.get(name)
            is_local = self.settings.is_local
            if not isinstance(found, str) or not is_provider_url(found, is_local=is_local):
                raise unreachable(f"its configuration has no https URL as {name}")
            return found

        userinfo = endpoint("userinfo_endpoint") if table.get("userinfo_endpoint") else None
        ways = table.get("token_endpoint_auth_methods_supported")
        ways = ways if isinstance(ways, list) and ways else ["client_secret_basic"]
        return Metadata(
            authorization_endpoint=endpoint("authorization_endpoint"),
            token_endpoint=endpoint("token_endpoint"),
            jwks_uri=endpoint("jwks_uri"),
            userinfo_endpoint=userinfo,
            takes_basic="client_secret_basic" in ways or "client_secret_post" not in ways,
            names_issuer=table.get("authorization_response_iss_parameter_supported") is True,
        )

    async def _fetch_keys(self, metadata: Metadata) -> None:
        reply = await self.fetcher.request(metadata.jwks_uri)
        if reply.status != 200:
            raise unreachable(f"its keys have status {reply.status}")
        self._keys, self._keys_at = parse_keys(reply.table("its keys")), self._clock()


def parse_keys(table: dict[str, object]) -> list[SigningKey]:
    """Return the keys of a JWK set that a token may be signed with; others are left out.

    Args:
        table: As the provider sent it.
    """
    listed = table.get("keys")
    found = []
    for one in (listed if isinstance(listed, list) else [])[:MAX_KEYS]:
        key = _parse_key(one) if isinstance(one, dict) else None
        if key is not None:
            found.append(key)
    return found


def _parse_key(table: dict[str, object]) -> SigningKey | None:
    family, name = table.get("kty"), table.get("kid")
    algorithm, uses = table.get("alg"), table.get("key_ops")
    members = _MEMBERS.get(family) if isinstance(family, str) else None
    if members is None or table.get("use", "sig") != "sig":
        return None
    if isinstance(uses, list) and "verify" not in uses:
        return None
    # Its public members only, each a short text: 8192 bits are 1366 characters.
    public = {one: table.get(one) for one in ("kty", *members)}
    texts: dict[str, str | list[str]] = {}
    for one, text in public.items():
        if not isinstance(text, str) or len(text) > MAX_RSA // 5:
            return None
        texts[one] = text
    kind = "RSA" if family == "RSA" else str(texts["crv"])
    if kind not in _KINDS or (isinstance(name, str) and len(name) > MAX_NAME):
        return None
    try:
        key = import_key(texts)
        if family == "RSA" and not MIN_RSA <= key.public_key.key_size <= MAX_RSA:  # type: ignore[union-attr]
            return None
    except (JoseError, ValueError, TypeError, OverflowError):
        return None
    return SigningKey(
        name=name if isinstance(name, str) else None,
        kind=kind,
        algorithm=algorithm if isinstance(algorithm, str) else None,
        key=key,
    )


def _pick(keys: list[SigningKey], name: str | None, algorithm: str) -> SigningKey | None:
    kind = ALGORITHMS[algorithm]
    fitting = [
        one
        for one in keys
        if one.kind == kind and (kind == "Ed25519" or one.algorithm in (None, algorithm))
    ]
    if name is None:  # then nothing may have to be chosen (OpenID Connect Core section 10.1)
        return fitting[0] if len(fitting) == 1 else None
    return next((one for one in fitting if one.name == name), None)
