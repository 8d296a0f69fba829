"""Watches a running edge for what is wrong, and has it said: ``[alerts]`` of ``edge.toml``.

What is looked at is here; when it is said, and how, is in :mod:`.alerts`. What was said is kept in
``DIR/alerts.json``, so that the next process of the edge neither says it again nor forgets to say
that it is over. Made by ``server``, where there is a webhook.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from .alerts.conditions import Conditions, Problem
from .alerts.message import Alert
from .alerts.sender import AlertSender, Webhook
from .errors import EdgeConfigError, EdgeError
from .files import write_atomically
from .settings.alerts import check_webhook
from .settings.config import CONFIG_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .context import EdgeContext
    from .directory import LocalDirectory
    from .settings.config import EdgeConfig
    from .shown import ShownCertificates
    from .storage import SnapshotWatcher

__all__ = ["SECRET_VARIABLE", "URL_VARIABLE", "AlertMonitor", "webhook_of"]

_log = logging.getLogger("asgi_tunnel_edge.alerts")

URL_VARIABLE: Final = "ASGI_TUNNEL_EDGE_ALERTS_URL"
SECRET_VARIABLE: Final = "ASGI_TUNNEL_EDGE_ALERTS_SECRET"  # noqa: S105 - its name

LOOK_EVERY: Final = 2.0
"""Seconds between two looks: with 10,000 tokens one takes 5 ms."""

CERTIFICATES_EVERY: Final = 60.0
"""Seconds between two looks at the certificates, which are parsed for it."""

DATABASE_AFTER: Final = 30.0
"""Seconds that the database cannot be read before it is said: a copy is put back within it."""

OVERLOAD_AFTER: Final = 10.0
"""Seconds of overload before it is said: memory is short for a moment now and then."""

USED_WITHIN: Final = 86_400.0
"""Seconds before the edge's start in which a token was used whose tunnel is missed at once."""


def webhook_of(config: EdgeConfig, environ: Mapping[str, str] = os.environ) -> Webhook | None:
    """Return where alerts go; None: nowhere.

    Args:
        config: The edge's settings.
        environ: Its variables come before the file.

    Raises:
        EdgeConfigError: The URL is none, or the secret cannot be read.
    """
    url = environ.get(URL_VARIABLE) or config.alerts.url
    if not url:
        return None
    check_webhook(url, setting=URL_VARIABLE)
    secret = environ.get(SECRET_VARIABLE, "")
    name = config.alerts.secret_file
    if not secret and name is not None:
        path = config.data_dir / name
        try:
            secret = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'})"
            fix = "write the secret into it, readable for the edge's user"
            raise EdgeConfigError("alerts.secret_file", why, fix, file=CONFIG_FILE) from error
        if not secret:
            why = f"{path} is empty"
            fix = "write the secret into it, or take the setting out"
            raise EdgeConfigError("alerts.secret_file", why, fix, file=CONFIG_FILE)
    return Webhook(url=url, secret=secret, edge=config.domain)


class AlertMonitor:
    """See the module.

    Args:
        webhook: Where alerts go.
        config: The edge's settings.
        context: Says whether memory is short, and whether this process still serves.
        directory: Whose tunnels are open.
        watcher: Reads the database.
        certificates: That the edge shows; None: TLS is off.
        ask_others: Asks the edge's other serving processes; None: there are none.
    """

    def __init__(  # noqa: PLR0913 - what is looked at, each by its name
        self,
        webhook: Webhook,
        config: EdgeConfig,
        *,
        context: EdgeContext,
        directory: LocalDirectory,
        watcher: SnapshotWatcher,
        certificates: ShownCertificates | None,
        ask_others: Callable[[dict[str, Any]], Awaitable[list[dict[str, Any]]]] | None = None,
    ) -> None:
        self._ask_others = ask_others
        self._elsewhere: set[str] = set()  # ids of tokens that have a tunnel to another process
        self._is_other_overloaded = False
        self._config = config
        self._context = context
        self._directory = directory
        self._watcher = watcher
        self._certificates = certificates
        self._path = config.data_dir / "alerts.json"
        self._events = frozenset(config.alerts.events)
        self._names = frozenset(config.alerts.tokens)
        self._sender = AlertSender(webhook)
        self._conditions = Conditions({}, now=context.now())
        self._seen: set[str] = set()  # ids of tokens that had a tunnel
        self._of_certificates: dict[str, Problem] = {}
        self._certificates_due = 0.0
        self._kept: dict[str, Alert] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what was said before, and begin. Cancelling it leaves nothing running."""
        firing, used = await asyncio.to_thread(self._read)
        self._conditions = Conditions(firing, now=self._context.now())
        self._kept = firing
        self._seen = used | {key.removeprefix(_TUNNEL) for key in firing if _TUNNEL in key}
        self._sender.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="alert-monitor")

    async def stop(self) -> None:
        """End; alerts that wait get a moment. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._sender.stop()

    async def _run(self) -> None:
        while not self._context.is_stopping:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look()
            except Exception:  # noqa: BLE001
                # The task's outer edge: a defect here must not end all alerts.
                _log.exception("looking for what is wrong failed")

    async def _look(self) -> None:
        if self._context.is_stopping:
            return  # apps leave, and the process that takes this one's place looks now
        if self._ask_others is not None:
            found = await self._ask_others({"command": "connected"})
            self._elsewhere = {str(token) for one in found for token in one.get("tokens", ())}
            self._is_other_overloaded = any(one.get("is_overloaded") for one in found)
        now, wall = self._context.now(), time.time()
        alerts = self._conditions.look(self._problems(now), now=now, wall=wall)
        if not alerts:
            return
        for alert in alerts:
            _log.info("alert: %s: %s (%s)", alert.event, alert.message, alert.state)
        self._sender.put(alerts)
        self._kept = self._conditions.firing
        await asyncio.to_thread(self._keep)

    def _problems(self, now: float) -> dict[str, Problem]:
        """All that is wrong now, by what it is about."""
        found: dict[str, Problem] = {}
        if "tunnel_down" in self._events:
            self._add_tunnels(found)
        if "database_unreadable" in self._events and self._watcher.is_failing:
            found["database"] = Problem(
                event="database_unreadable",
                subject="",
                message="the database cannot be read; new and revoked tokens have no effect",
                resolved="the database can be read again",
                delay=DATABASE_AFTER,
            )
        is_overloaded = self._context.is_overloaded or self._is_other_overloaded
        if "overload" in self._events and is_overloaded:
            found["overload"] = Problem(
                event="overload",
                subject="",
                message="no memory is left for new requests; they get 503",
                resolved="new requests are taken again",
                delay=OVERLOAD_AFTER,
            )
        if self._certificates is not None:
            if now >= self._certificates_due:
                self._certificates_due = now + CERTIFICATES_EVERY
                self._of_certificates = self._look_at(self._certificates)
            found |= self._of_certificates
        return found

    def _add_tunnels(self, found: dict[str, Problem]) -> None:
        connected = {
            entry.token.id for entry in self._directory.entries if entry.session.is_attached
        } | self._elsewhere
        self._seen |= connected
        self._seen.intersection_update(self._directory.snapshot.tokens)
        tokens, wall = self._directory.snapshot.tokens, time.time()
        for token_id in self._seen - connected:
            token = tokens.get(token_id)
            if token is None or token.state(wall) != "active":
                continue
            if self._names and token.name not in self._names:
                continue
            found[_TUNNEL + token_id] = Problem(
                event="tunnel_down",
                subject=token.name,
                message=f"no app is connected with the token {token.name}",
                resolved=f"the tunnel of the token {token.name} is open again",
                delay=self._config.alerts.after,
            )

    def _look_at(self, certificates: ShownCertificates) -> dict[str, Problem]:
        found: dict[str, Problem] = {}
        if "certificate_failing" in self._events:
            for names, sentence in certificates.failures.items():
                subject = ", ".join(names)
                found[f"failing {subject}"] = Problem(
                    event="certificate_failing",
                    subject=subject,
                    message=f"no new certificate for {subject}: {sentence}",
                    resolved=f"a new certificate for {subject} is there",
                )
        if "certificate_expiring" in self._events:
            for subject, sentence in certificates.expiring().items():
                found[f"expiring {subject}"] = Problem(
                    event="certificate_expiring",
                    subject=subject,
                    message=f"the certificate for {subject} {sentence}",
                    resolved=f"the certificate for {subject} is valid for long again",
                )
        return found

    def _read(self) -> tuple[dict[str, Alert], set[str]]:
        """What was said before, and the ids of the tokens that were used; blocks."""
        firing: dict[str, Alert] = {}
        try:
            firing = _firing_of(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.warning(
                "%s cannot be read (%s); what it says may be said again", self._path, error
            )
        try:
            from .storage.store import Store  # SQLAlchemy, which other edges need not load

            used = Store(self._config.database).last_used()
        except EdgeError:
            used = {}  # the watcher says it
        since = time.time() - USED_WITHIN
        return firing, {token_id for token_id, at in used.items() if at >= since}

    def _keep(self) -> None:
        values = {
            key: {
                "event": one.event,
                "subject": one.subject,
                "since": int(one.since),
                "message": one.message,
            }
            for key, one in self._kept.items()
        }
        try:
            write_atomically(self._path, json.dumps({"firing": values}).encode())
        except OSError as error:
            _log.warning("%s cannot be written (%s)", self._path, error.strerror)


_TUNNEL: Final = "tunnel "


def _firing_of(content: Any) -> dict[str, Alert]:
    """Read what ``_keep`` wrote.

    Raises:
        ValueError: It is something else.
    """
    try:
        return {
            str(key): Alert(
                event=str(one["event"]),
                state="firing",
                subject=str(one["subject"]),
                since=float(one["since"]),
                message=str(one["message"]),
            )
            for key, one in content["firing"].items()
        }
    except (TypeError, KeyError, AttributeError) as error:
        message = "it has another form"
        raise ValueError(message) from error
