from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest
from tests.e2e.harness import wait_until

from asgi_tunnel_edge.certificates import internal
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.certificates.validity import validity_warnings
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A certificate for example.org and one level below, of ten years from yesterday on."""
    folder = tmp_path_factory.mktemp("tls")
    return create_internal_certificate("example.org", folder).certificate.read_bytes()


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (-2 * DAY, "is not valid before"),
        (0 * DAY, ""),
        (3630 * DAY, ""),
        (3640 * DAY, "expires on"),
        (3651 * DAY, "expired on"),
    ],
)
def test_times(pem: bytes, after: dt.timedelta, why: str) -> None:
    """A certificate that is not yet, not for long or no longer valid is named as that."""
    found = validity_warnings(pem, (), NOW + after)
    assert [one.startswith(why) for one in found] == ([True] if why else [])


@pytest.mark.parametrize(
    ("name", "is_for"),
    [
        ("example.org", True),
        ("shop.example.org", True),
        ("*.example.org", True),
        ("a.shop.example.org", False),
        ("*.shop.example.org", False),
        ("example.com", False),
        ("127.0.0.1", True),
        ("192.0.2.1", False),
    ],
)
def test_names(pem: bytes, name: str, is_for: bool) -> None:
    """A certificate for other names is named with those that it should be for."""
    found = validity_warnings(pem, (name,), NOW)
    assert [one.startswith(f"is not for {name}, ") for one in found] == ([] if is_for else [True])


def test_something_else() -> None:
    """What cannot be looked at is no reason to end."""
    (found,) = validity_warnings(b"-----BEGIN CERTIFICATE-----", (), NOW)
    assert found.startswith("cannot be looked at")


async def test_edge_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edge warns at its start and by itself a day later; its clock is set from inside."""
    monkeypatch.setattr(internal, "_LIFETIME", dt.timedelta(seconds=-60))
    create_internal_certificate("other.test", tmp_path / "tls")
    tls = TlsConfig(mode="files")
    config = EdgeConfig(data_dir=tmp_path, domain="example.test", listen="127.0.0.1:0", tls=tls)
    Store(config.database_path).migrate()
    edge = Edge(config)
    await edge.start()
    try:
        assert caplog.text.count("certificate.pem expired on ") == 1
        assert caplog.text.count("certificate.pem is not for example.test, which") == 1
        assert edge._certificates is not None
        edge._certificates._validity_due = 0.0
        await anyio.to_thread.run_sync(
            wait_until, lambda: "is not for" in caplog.text.partition("is not for")[2]
        )
        assert caplog.text.count("certificate.pem expired on ") == 2
    finally:
        await edge.stop()
