"""A pytest plugin: names of the test edges lead to this machine, as DNS would say of real ones."""

from __future__ import annotations

import socket
from typing import Any

_resolve = socket.getaddrinfo


def _getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host  # anyio has it encoded
    is_ours = isinstance(name, str) and name.endswith((".localhost", ".example.test"))
    return _resolve("127.0.0.1" if is_ours else host, *arguments, **options)


socket.getaddrinfo = _getaddrinfo
