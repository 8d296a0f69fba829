"""The inspector of an app's process whose session is at another node.

To who asks it is a session: it opens its streams on the connection to that node, with the line that
says which process is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgi_tunnel.protocol.head import add_peer

if TYPE_CHECKING:
    from asgi_tunnel.asgi.types import StreamHandler
    from asgi_tunnel.protocol.codes import ResetCode
    from asgi_tunnel.protocol.frames import Buffer, StreamKind
    from asgi_tunnel.protocol.head import RequestHead

    from .description import Process
    from .link import PeerLink

__all__ = ["RemoteProcess"]


@dataclass(frozen=True, slots=True)
class RemoteProcess:
    """See the module; ``inspection.Inspectable``.

    Attributes:
        link: To the node.
        process: As the node has described it.
        hostname: Of the app: the node finds its session by it.
    """

    link: PeerLink
    process: Process
    hostname: str

    tells_duration = True
    takes_visitor = True

    @property
    def takes_inspect(self) -> bool:
        """Whether it has an inspector."""
        return self.process.inspects

    @takes_inspect.setter
    def takes_inspect(self, _value: bool) -> None:
        """It is described by its node."""

    @property
    def is_attached(self) -> bool:
        """Whether its node is connected."""
        return self.link.is_ready

    @property
    def can_open(self) -> bool:
        """Whether one more request may be sent."""
        return self.link.is_ready

    def open_stream(
        self,
        kind: StreamKind,
        head: RequestHead,
        handler: StreamHandler,
        *,
        data: Buffer = b"",
        end: bool,
    ) -> int:
        """See ``route.Upstream``."""
        session = self.link.session
        assert session is not None  # `can_open` was asked
        head = head._replace(hostname=self.hostname.encode())
        head = add_peer(head, self.process.instance.encode("latin-1", "replace"))
        return session.open_stream(kind, head, handler, data=data, end=end)

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """See ``route.Upstream``."""
        session = self.link.session
        if session is None:
            return True
        return session.send_data(stream_id, data, end=end, text=text, more=more)

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """See ``route.Upstream``."""
        if self.link.session is not None:
            self.link.session.send_close(stream_id, code, reason)

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """See ``route.Upstream``."""
        if self.link.session is not None:
            self.link.session.reset_stream(stream_id, code, reason)

    def consume(self, stream_id: int, cost: int) -> None:
        """See ``route.Upstream``."""
        if self.link.session is not None:
            self.link.session.consume(stream_id, cost)

    def release(self, stream_id: int) -> None:
        """See ``route.Upstream``."""
        if self.link.session is not None:
            self.link.session.release(stream_id)
