"""HTTP requests to a CA, bounded in size and time: what everything else here sends with.

Over https only, with the certificates that the system trusts or one root that the owner gives;
plain http is there for a test CA on this machine. A redirect is not followed, and a compressed
reply is not unpacked. Proxies come from ``HTTPS_PROXY`` and ``NO_PROXY``, as for other programs.
The HTTP library is imported with the first request: an edge without ACME does not load it.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from asgi_tunnel_edge._version import __version__
from asgi_tunnel_edge.errors import AcmeError, shown

from .problems import UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx2

__all__ = ["MAX_REPLY", "MAX_RETRY_AFTER", "TIMEOUT", "Http", "Reply", "check_url", "retry_after"]

MAX_REPLY: Final = 1024 * 1024
"""Bytes of one reply: the largest are chains of certificates and orders of 100 names, 30 KB."""

TIMEOUT: Final = 30.0
"""Seconds for one request with its whole reply: CAs under load take 10."""

MAX_RETRY_AFTER: Final = 8 * 24 * 3600.0
"""Seconds that a CA may make the edge wait: rate limits are weekly, and one day for clocks."""

_MAX_URL: Final = 2048  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class Http:
    """A CA's HTTP side. Close it with :meth:`aclose`; used by one task at a time.

    Args:
        directory_url: Decides whether plain http is let through: only for a CA on this machine.
        root: The one root certificate to trust, in PEM form; None: those of the system.

    Raises:
        AcmeError: The URL is none that a directory may have.
    """

    def __init__(self, directory_url: str, *, root: Path | None = None) -> None:
        self.plaintext = directory_url.startswith("http:")
        check_url(directory_url, plaintext=self.plaintext)
        self._root = root
        self._client: httpx2.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def request(
        self, method: str, url: str, *, content: bytes | None = None, kind: str = ""
    ) -> Reply:
        """Send one request and read the whole reply. Cancelling it loses the reply.

        Args:
            method: GET, HEAD or POST.
            url: Checked before it is used: it may come from the CA.
            content: The body.
            kind: The media type of the body.

        Raises:
            AcmeError: No whole reply came within the bounds; ``kind`` is ``unreachable``.
        """
        import httpx2

        check_url(url, plaintext=self.plaintext)
        host = urlsplit(url).hostname or ""
        headers = {"content-type": kind} if content is not None else {}
        try:
            async with asyncio.timeout(TIMEOUT):
                client = self._client or await self._open()
                async with client.stream(method, url, content=content, headers=headers) as reply:
                    body = await _whole(reply, host)
                    fields = {name.lower(): value for name, value in reply.headers.items()}
                    return Reply(status=reply.status_code, headers=fields, body=body)
        except TimeoutError as error:
            raise _unreachable(host, f"no whole reply within {TIMEOUT:.0f} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            raise _unreachable(host, _reason(error), error) from error

    async def _open(self) -> httpx2.AsyncClient:
        import httpx2

        # In a thread: reading all roots of a system takes 30 ms, in which no visitor is served.
        context = False if self.plaintext else await asyncio.to_thread(_context, self._root)
        self._client = httpx2.AsyncClient(
            verify=context,
            follow_redirects=False,
            timeout=TIMEOUT,
            limits=httpx2.Limits(max_connections=2, max_keepalive_connections=2),
            # identity: nothing to unpack, so nothing that grows.
            headers={
                "user-agent": f"asgi-tunnel-edge/{__version__}",
                "accept-encoding": "identity",
            },
        )
        return self._client


def check_url(url: str, *, plaintext: bool) -> None:
    """Refuse what is no https URL.

    Args:
        url: From the owner or from the CA.
        plaintext: Whether http to this machine is let through.

    Raises:
        AcmeError: It is refused, in one sentence.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    is_clean = len(url) <= _MAX_URL and url.isascii() and url.isprintable() and " " not in url
    is_known = parts.scheme == "https" or (
        plaintext and parts.scheme == "http" and _is_loopback(host)
    )
    if not (is_clean and is_known and host) or "@" in parts.netloc:
        sentence = (
            f"{shown(url)} is no URL for a CA; give an https URL, as "
            "https://acme-v02.api.letsencrypt.org/directory (http only for a CA on this machine)"
        )
        raise AcmeError(sentence)


def retry_after(reply: Reply, now: float) -> float | None:
    """When the CA wants the next request, in seconds since 1970; None: it does not say.

    Args:
        reply: With ``Retry-After`` as seconds or as a date (RFC 9110 section 10.2.3).
        now: Seconds since 1970.
    """
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        wait = float(value[:10])
    else:
        try:
            wait = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return now + min(max(0.0, wait), MAX_RETRY_AFTER)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(root: Path | None) -> ssl.SSLContext:
    if root is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(root))
    except (OSError, ssl.SSLError) as error:
        sentence = (
            f"the root certificate {root} cannot be read ({error}); give a file in PEM form, with "
            "BEGIN CERTIFICATE in it, that this user may read"
        )
        raise AcmeError(sentence) from error


async def _whole(reply: httpx2.Response, host: str) -> bytes:
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise _unreachable(host, "a compressed reply, which was not asked for")
    body = bytearray()
    async for chunk in reply.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY:
            raise _unreachable(host, f"a reply of more than {MAX_REPLY} bytes")
    return bytes(body)


def _reason(error: BaseException) -> str:
    # A stranger's bytes may be in it: shown() keeps it on one line.
    return shown(str(error) or type(error).__name__)


def _unreachable(host: str, why: str, error: BaseException | None = None) -> AcmeError:
    cause = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        sentence = (
            f"the CA {host} shows a certificate that is not trusted ({cause.verify_message}); "
            "install the system's root certificates (Debian: ca-certificates), or give the root "
            "of a private CA with --acme-root FILE (an app: ASGI_TUNNEL_ACME_ROOT)"
        )
    else:
        sentence = (
            f"the CA {host} gave no reply that can be used ({why}); look whether this machine "
            "reaches it (DNS, firewall, proxy); it is tried again"
        )
    return AcmeError(sentence, kind=UNREACHABLE)
