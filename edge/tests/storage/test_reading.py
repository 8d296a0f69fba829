"""What a running edge reads, in plain SQL: all that the store writes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from asgi_tunnel_edge.accounts import LinkRecord, ServiceTokenRecord, SessionRecord, UserRecord
from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.quotas import TokenQuotas
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.dialect import Location

TOKEN = TokenRecord(
    id="tok_1",
    name="shop",
    secret_sha256="00",
    hostnames=("*.shop.test", "shop.test"),
    created_at=5,
    expires_at=2**40,
    quotas=TokenQuotas(max_tunnels=3),
    end_to_end=("shop.test",),
)


def test_reads_all_that_was_written(location: Location) -> None:
    """Each kind of record comes back as it was kept."""
    store, access = Store(location), AccessStore(location)
    store.migrate()
    store.create_token(TOKEN)
    ban = BanRecord(address="203.0.113.0/24", created_at=7, reason="why")
    store.add_ban(ban)
    by_scanner = ScannerBan(
        address="198.51.100.1", owner="tok_1", created_at=8, expires_at=2**40, reason="probes"
    )
    store.add_scanner_bans([by_scanner])
    closed = MaintenanceRecord(hostname="shop.test", since=9, allow=("192.0.2.1", "192.0.2.2"))
    store.begin_maintenance([closed])
    user = UserRecord(name="anna", email="a@x.test", groups=("a", "b"), created_at=3, epoch=3)
    access.create_user(user, password="hashed")
    one_token = ServiceTokenRecord(
        id="svc_1", name="phone", secret_sha256="01", policies=("family",), created_at=4
    )
    access.create_service_token(one_token)
    link = LinkRecord(
        id="link_1", secret_sha256="02", hostname="shop.test", path="/a", created_at=2**40
    )
    access.create_link(link)
    login = SessionRecord(
        id="s1",
        subject="user:anna",
        name="anna",
        hostname="shop.test",
        method="password",
        created_at=4,
        expires_at=2**40,
    )
    access.add_session(login)
    access.end_sessions(["s1"])
    snapshot = store.snapshot()
    assert snapshot.generation == store.generation()
    assert list(snapshot.tokens.values()) == [TOKEN]
    assert snapshot.bans == (ban,)
    assert snapshot.scanner_bans == (by_scanner,)
    assert snapshot.maintenance == (closed,)
    assert snapshot.access.users == (user,)
    assert snapshot.access.service_tokens == (one_token,)
    assert snapshot.access.links == (link,)
    assert snapshot.access.ended == ("s1",)
    access.end_all_sessions()
    assert store.snapshot().access.epoch == 1
    assert store.snapshot().access.ended == ()


def test_a_running_edge_needs_no_sqlalchemy() -> None:
    """To start and to follow the store."""
    code = (
        "import sys, asgi_tunnel_edge.server, asgi_tunnel_edge.storage.watcher;"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
