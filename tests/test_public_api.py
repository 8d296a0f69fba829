from __future__ import annotations

import subprocess
import sys

import pytest

import asgi_tunnel

PUBLIC = [
    "AuthenticationError",
    "ClientDisconnectedError",
    "ConfigError",
    "HandshakeError",
    "HostnameUnavailableError",
    "Inspect",
    "LocalProtocolError",
    "ProtocolError",
    "Services",
    "Share",
    "StreamResetError",
    "Tunnel",
    "TunnelConfig",
    "TunnelError",
    "TunnelMiddleware",
    "VersionMismatchError",
    "Visitor",
    "__version__",
    "run",
    "serve",
    "share",
    "start_in_thread",
    "visitor",
]


def test_public_names_are_pinned() -> None:
    """A name is added to the public API, or taken from it, on purpose: here, too."""
    assert asgi_tunnel.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_resolves(name: str) -> None:
    """Each public name can be imported and stands in dir()."""
    assert getattr(asgi_tunnel, name) is not None
    assert name in dir(asgi_tunnel)


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    """A wrong name is an AttributeError, as for any module."""
    with pytest.raises(AttributeError, match="'asgi_tunnel' has no attribute 'Tunel'"):
        getattr(asgi_tunnel, "Tunel")  # noqa: B009  # mypy would refuse the attribute


def test_the_errors_have_one_root() -> None:
    """`except TunnelError` catches every public error."""
    names = [name for name in PUBLIC if name.endswith("Error")]
    assert all(issubclass(getattr(asgi_tunnel, name), asgi_tunnel.TunnelError) for name in names)


def test_import_loads_no_dependency() -> None:
    """`import asgi_tunnel` loads neither its dependencies nor an event loop."""
    program = "import sys, asgi_tunnel; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {"anyio", "websockets", "asyncio", "uvloop"} & set(done.stdout.split())
