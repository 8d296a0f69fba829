"""Hands alerts to a webhook: in order, again where it fails, and never in anybody's way.

One task sends; what waits is bounded. The HTTP library is imported with the first alert. A
redirect is not followed: it would lead where the operator has not said, with the signature.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import AlertError, shown
from .message import Alert, encode_alerts, signed_fields

if TYPE_CHECKING:
    import httpx2

__all__ = ["AlertSender", "Webhook"]

_log = logging.getLogger("asgi_tunnel_edge.alerts")

MAX_WAITING: Final = 1000
"""Alerts that wait for a webhook, 400 KB; above it the oldest are left out, and counted."""

BATCH: Final = 100
"""Alerts in one request: an edge whose network was away has as many at once as it has tokens."""

TIMEOUT: Final = 10.0
"""Seconds for one request with the head of its response."""

FIRST_WAIT: Final = 1.0
"""Seconds before the second try; twice as long before each further one."""

MAX_WAIT: Final = 300.0
"""Seconds between two tries at most, whatever the webhook asks for."""

GIVE_UP: Final = 3600.0
"""Seconds from the first try to the last: later the alerts are history."""

STOP_TIMEOUT: Final = 2.0
"""Seconds that alerts get when the edge stops."""

_TRY_AGAIN: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where alerts go. Neither of the two is logged."""

    url: str
    secret: str = ""  #: empty: requests are not signed
    edge: str  #: the edge's domain

    @property
    def host(self) -> str:
        """What is said of it: the rest of the URL may be a secret."""
        return urlsplit(self.url).hostname or ""

    def __repr__(self) -> str:
        return f"Webhook(host={self.host!r}, edge={self.edge!r})"


class AlertSender:
    """See the module.

    Args:
        webhook: Where alerts go.
        wall: Seconds since 1970.
    """

    def __init__(self, webhook: Webhook, *, wall: Callable[[], float] = time.time) -> None:
        self._webhook = webhook
        self._wall = wall
        self._waiting: deque[Alert] = deque()
        self._left_out = 0
        self._sending: list[Alert] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._client: httpx2.AsyncClient | None = None

    def start(self) -> None:
        """Start the task."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="alerts")

    def put(self, alerts: Sequence[Alert]) -> None:
        """Have alerts sent; returns at once."""
        self._waiting.extend(alerts)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._left_out += 1
        self._idle.clear()
        self._wake.set()

    async def stop(self) -> None:
        """Send what waits, within ``STOP_TIMEOUT``, and end. May be called twice.

        Cancelling it loses what waits.
        """
        task, self._task = self._task, None
        try:
            if task is not None and self._is_busy:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
            left = len(self._waiting) + len(self._sending)
            if left:
                _log.error("%d alerts were not sent before the end", left)
            self._waiting.clear()
            self._sending = []
            await self._close()

    async def send(self, alerts: Sequence[Alert]) -> int:
        """Send alerts once, and return the status of the response.

        Cancelling it leaves open whether they were sent.

        Raises:
            AlertError: The webhook has not taken them.
        """
        body = encode_alerts(alerts, edge=self._webhook.edge, now=self._wall())
        try:
            return await self._post(body, identifier=_new_identifier())
        finally:
            await self._close()

    @property
    def _is_busy(self) -> bool:
        return bool(self._waiting or self._sending)

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                count = min(len(self._waiting), BATCH)
                self._sending = [self._waiting.popleft() for _ in range(count)]
                left_out, self._left_out = self._left_out, 0
                try:
                    await self._deliver(self._sending, left_out)
                except Exception:  # noqa: BLE001
                    # The task's outer edge: a defect here must not end all alerts.
                    _log.exception("%d alerts were not sent by a defect", count)
                self._sending = []

    async def _deliver(self, alerts: Sequence[Alert], left_out: int) -> None:
        """Try until they are taken, or it makes no sense any more."""
        body = encode_alerts(alerts, edge=self._webhook.edge, now=self._wall(), left_out=left_out)
        identifier, began, wait = _new_identifier(), time.monotonic(), FIRST_WAIT
        while True:
            try:
                await self._post(body, identifier=identifier)
            except AlertError as error:
                if not error.may_pass or time.monotonic() - began >= GIVE_UP:
                    _log.error("%d alerts are given up: %s", len(alerts), error)
                    return
                _log.warning("%d alerts wait: %s; it is tried again", len(alerts), error)
                spread = wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries
                delay = min(max(spread, error.retry_after), MAX_WAIT)
            else:
                return
            await asyncio.sleep(delay)
            wait = min(2 * wait, MAX_WAIT)

    async def _post(self, body: bytes, *, identifier: str) -> int:
        import httpx2

        webhook = self._webhook
        fields = {
            "content-type": "application/json",
            **signed_fields(body, identifier=identifier, now=self._wall(), secret=webhook.secret),
        }
        client = self._client or await self._open()
        try:
            async with asyncio.timeout(TIMEOUT):
                # What the response says is not read: its status is all that counts.
                request = client.stream("POST", webhook.url, content=body, headers=fields)
                async with request as response:
                    status = response.status_code
                    asked = response.headers.get("retry-after", "")
        except TimeoutError as error:
            raise self._failed(f"gave no response within {TIMEOUT:.0f} s") from error
        except httpx2.InvalidURL as error:
            raise self._failed("has a URL that is not valid", may_pass=False) from error
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            why = shown(str(error) or type(error).__name__)
            raise self._failed(f"could not be reached ({why})") from error
        if 200 <= status < 300:
            return status
        if 300 <= status < 400:
            why = (
                f"responded with {status}, a redirect, which is not followed; write where it leads"
            )
            raise self._failed(why, may_pass=False)
        if status < 500 and status not in _TRY_AGAIN:
            why = f"responded with {status}; look at its URL, and at the secret"
            raise self._failed(why, may_pass=False)
        wait = float(asked[:6]) if asked.isascii() and asked.isdigit() else 0.0
        raise self._failed(f"responded with {status}", retry_after=wait)

    def _failed(self, why: str, *, may_pass: bool = True, retry_after: float = 0.0) -> AlertError:
        sentence = f"the webhook at {self._webhook.host} {why}"
        return AlertError(sentence, may_pass=may_pass, retry_after=retry_after)

    async def _open(self) -> httpx2.AsyncClient:
        import httpx2

        # In a thread: reading all roots of a system takes 30 ms, in which no visitor is served.
        context = await asyncio.to_thread(ssl.create_default_context)
        self._client = httpx2.AsyncClient(
            verify=context,
            follow_redirects=False,
            timeout=TIMEOUT,
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=0),
            headers={
                "user-agent": f"asgi-tunnel-edge/{__version__}",
                "accept-encoding": "identity",
            },
        )
        return self._client

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _new_identifier() -> str:
    """Name one request: the same each time that it is tried."""
    return f"msg_{secrets.token_urlsafe(18)}"
