"""What an operator watches an edge with: traces, numbers for a Prometheus, alerts.

Each is off unless ``edge.toml`` asks for it, and what is off is not loaded. What they say is
decided in ``observers.tracing``, ``metrics`` and ``monitor``; ``server`` makes them, and ends them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from .monitor import AlertMonitor, webhook_of
from .observers.request_counter import RequestCounter
from .observers.tracing import ExchangeTracing, start_tracing
from .settings.config import CONFIG_FILE

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

    from .context import EdgeContext
    from .descriptors import DescriptorWatch
    from .directory import LocalDirectory
    from .metrics.exposition import Exposition
    from .metrics.families import Values
    from .metrics.listener import MetricsListener
    from .metrics.reader import EdgeParts
    from .settings.config import EdgeConfig, ListenAddress
    from .shown import ShownCertificates
    from .storage import SnapshotWatcher
    from .supervision import ParentLink
    from .tokens import Snapshot

__all__ = ["Instruments"]

_log: Final = logging.getLogger("asgi_tunnel_edge.server")


class Instruments:
    """See the module.

    Args:
        config: Of the edge.

    Attributes:
        counter: Counts requests; None: nobody asks for metrics.
        exposition: Renders the numbers of all processes; None: the same, or it does not serve yet.
        numbers: Reads those of this process; None: likewise.

    Raises:
        EdgeConfigError: The secret for alerts cannot be read.
    """

    def __init__(self, config: EdgeConfig) -> None:
        self._config = config
        self._webhook = webhook_of(config)
        self._tracing: ExchangeTracing | None = None
        self._alerts: AlertMonitor | None = None
        self._metrics: MetricsListener | None = None
        self.counter: RequestCounter | None = None
        self.exposition: Exposition | None = None
        self.numbers: Callable[[], Awaitable[Values]] | None = None

    async def prepare(self) -> None:
        """Load what traces need.

        Raises:
            EdgeConfigError: There is nothing to trace with.
        """
        config = self._config.tracing
        if config.enabled:
            self._tracing = await asyncio.to_thread(start_tracing, config, file=CONFIG_FILE)

    def attach(self, context: EdgeContext, snapshot: Snapshot) -> None:
        """Hear of each exchange from now on; before the first one begins."""
        if self._tracing is not None:
            context.trace(self._tracing)
        if self._config.metrics.listen is None:
            return
        from .metrics.reader import REASONS  # it needs prometheus-client, and some megabytes

        self.counter = RequestCounter(REASONS)
        self.counter.follow(snapshot.owners)
        context.attach(self.counter)

    def follow(self, snapshot: Snapshot) -> None:
        """Count the hostnames that the store has now."""
        if self.counter is not None:
            self.counter.follow(snapshot.owners)

    def read_metrics(self, parts: EdgeParts, link: ParentLink | None) -> None:
        """Give the numbers to who asks, from now on.

        Args:
            parts: What they are read from.
            link: Asks the other serving processes, whose numbers are added; None: there are none.
        """
        from .metrics.exposition import Exposition
        from .metrics.gathering import Gathering, of_plain
        from .metrics.reader import MetricsReader

        self.numbers = MetricsReader(parts).read
        if link is None:
            self.exposition = Exposition(self.numbers)
            return

        async def others() -> dict[int, tuple[float, Values]]:
            found = await link.ask_others({"command": "numbers"})
            serving = [one for one in found if one["state"] == "serving" and "numbers" in one]
            return {one["pid"]: (one["uptime"], of_plain(one["numbers"])) for one in serving}

        self.exposition = Exposition(Gathering(self.numbers, others).read)

    async def serve_metrics(
        self,
        parts: EdgeParts,
        sockets: Sequence[socket.socket],
        address: ListenAddress,
        watch: DescriptorWatch,
    ) -> None:
        """Serve the numbers on an address of their own; :meth:`read_metrics` was called.

        Args:
            parts: Say whether the edge is ready, and who is banned.
            sockets: That listen.
            address: Theirs.
            watch: Of the process's descriptors.
        """
        from .metrics.listener import MetricsListener, warn_if_public

        assert self.exposition is not None
        readiness = parts.readiness
        self._metrics = MetricsListener(
            self.exposition, readiness.reasons, parts.guards, notes=readiness.notes
        )
        await self._metrics.start(list(sockets), watch)
        warn_if_public(address.host)
        _log.info("metrics are on http://%s/metrics", address)

    async def start_alerts(
        self,
        *,
        context: EdgeContext,
        directory: LocalDirectory,
        watcher: SnapshotWatcher,
        certificates: ShownCertificates | None,
        link: ParentLink | None = None,
    ) -> None:
        """Call the webhook from now on when something is wrong."""
        if self._webhook is None or (link is not None and link.worker):
            return  # one process looks for all
        self._alerts = AlertMonitor(
            self._webhook,
            self._config,
            context=context,
            directory=directory,
            watcher=watcher,
            certificates=certificates,
            ask_others=None if link is None else link.ask_others,
        )
        await self._alerts.start()

    def retire(self) -> None:
        """Let another process have the address of the metrics: a scrape finds that one."""
        if self._metrics is not None:
            self._metrics.close()

    async def stop_metrics(self) -> None:
        """Serve the numbers no more."""
        if self._metrics is not None:
            await self._metrics.stop()

    async def stop_alerts(self) -> None:
        """Call nobody any more. Cancelling it leaves what was not sent unsent."""
        if self._alerts is not None:
            await self._alerts.stop()

    async def stop_tracing(self) -> None:
        """Hand the last spans on; see :meth:`.observers.tracing.ExchangeTracing.stop`."""
        if self._tracing is not None:
            await self._tracing.stop()
