"""Requests to a provider, bounded in size, time and number.

Over https only, with the certificates that the system trusts; plain http for a provider on this
machine. No redirect is followed, and nothing is unpacked: what a provider sends is a stranger's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from ..._version import __version__
from ...errors import shown
from ...settings.oidc import is_provider_url
from .problems import unreachable

if TYPE_CHECKING:
    import httpx2

__all__ = ["Fetcher", "Reply"]

MAX_REPLY: Final = 256 * 1024
"""Bytes of one reply: the largest is a token of somebody who is in hundreds of groups, 30 KB."""

TIMEOUT: Final = 4.0
"""Seconds for one request with its whole reply: a person waits, and reloads after 5."""

MAX_CONNECTIONS: Final = 8
"""To one provider: each login needs two or three short requests."""


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    kind: str  #: the media type, without its parameters
    body: bytes

    def table(self, what: str) -> dict[str, object]:
        """Return its JSON object.

        Args:
            what: Which reply it is, for the log.

        Raises:
            ProviderError: It is none.
        """
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise unreachable(f"{what} is no JSON object (status {self.status})")
        return found


class Fetcher:
    """Asks one provider. Close it with :meth:`aclose`.

    Args:
        is_local: Whether it may be asked over http: it is on this machine.
    """

    def __init__(self, *, is_local: bool) -> None:
        self._is_local = is_local
        self._client: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def request(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and read the whole reply. Cancelling it loses the reply.

        Args:
            url: Checked before it is used: it may come from the provider.
            form: Sent with POST; None: a GET.
            fields: More header fields.

        Raises:
            ProviderError: No whole reply came within the bounds.
        """
        import httpx2

        if not is_provider_url(url, is_local=self._is_local):
            raise unreachable(f"{shown(url)} is no https URL of a provider")
        host = shown(urlsplit(url).netloc)
        content = None if form is None else urlencode(form).encode()
        headers = {"accept": "application/json", **(fields or {})}
        if content is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        method = "GET" if content is None else "POST"
        try:
            async with asyncio.timeout(TIMEOUT):
                client = self._client or await self._open()
                async with client.stream(method, url, content=content, headers=headers) as reply:
                    if 300 <= reply.status_code < 400:
                        raise unreachable(f"{host} sends a redirect, which is not followed")
                    kind = reply.headers.get("content-type", "").partition(";")[0]
                    body = await _whole(reply, host)
                    return Reply(reply.status_code, kind.strip().lower(), body)
        except TimeoutError as error:
            raise unreachable(f"{host} gave no whole reply within {TIMEOUT:.0f} s") from error
        except httpx2.InvalidURL as error:
            raise unreachable(f"{shown(url)} is no URL") from error
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            why = shown(str(error) or type(error).__name__)
            raise unreachable(f"{host} could not be reached ({why})") from error

    async def _open(self) -> httpx2.AsyncClient:
        import httpx2

        async with self._opening:
            if self._client is not None:
                return self._client
            # In a thread: reading all roots of a system takes 30 ms, in which no visitor is served.
            context = False if self._is_local else await asyncio.to_thread(_context)
            self._client = httpx2.AsyncClient(
                verify=context,
                follow_redirects=False,
                timeout=TIMEOUT,
                limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=2),
                # identity: nothing to unpack, so nothing that grows.
                headers={
                    "user-agent": f"asgi-tunnel-edge/{__version__}",
                    "accept-encoding": "identity",
                },
            )
            return self._client


def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _whole(reply: httpx2.Response, host: str) -> bytes:
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise unreachable(f"{host} sends a compressed reply, which was not asked for")
    body = bytearray()
    async for chunk in reply.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY:
            raise unreachable(f"{host} sends a reply of more than {MAX_REPLY} bytes")
    return bytes(body)
