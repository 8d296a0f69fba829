"""What goes wrong with a service, and which status the visitor gets for it (``proxy.py``).

::

    RequestError        the request cannot be written down; nothing was sent   its own status
    UnreachableError    there is no connection                                 503
    BusyError           there are as many connections as allowed               503
    TimeoutError        a timeout of the service                               504
    TunnelError
    └── ResponseError   what came is no response                               502
    ConnectionError     the connection was closed here
    ├── ServiceClosedError   by the service, before a byte of a response       502
    └── BodyLengthError      the request's body was not as announced           502
"""

from __future__ import annotations

from ...errors import TunnelError


class RequestError(Exception):
    """A request that cannot be written down for a service.

    Attributes:
        status: For the visitor.
        why: For the visitor.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why


class UnreachableError(Exception):
    """No connection to the service: it does not run, or is not let in.

    Attributes:
        why: For the log.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class BusyError(Exception):
    """All connections that a service may have are in use."""


class ResponseError(TunnelError):
    """What a service sent is no response that can be passed on."""


class ServiceClosedError(ConnectionError):
    """The service closed the connection before a byte of a response."""


class BodyLengthError(ConnectionError):
    """A request's body is longer or shorter than it says."""
