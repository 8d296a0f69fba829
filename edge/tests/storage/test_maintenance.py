"""Closed hostnames in the database, in a snapshot and in its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edge.tests.storage.conftest import make_revision

from asgi_tunnel_edge.errors import HostnameNotFoundError
from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.storage import Store, load_snapshot_file, save_snapshot_file
from asgi_tunnel_edge.tokens import TokenRecord

if TYPE_CHECKING:
    from edge.tests.storage.conftest import Place

    from asgi_tunnel_edge.storage.dialect import Location

NAMES = ("*.shop.test", "cart.test", "shop.test")
SHOP = MaintenanceRecord(
    hostname="shop.test",
    since=1000,
    message="New disks.",
    until=2000,
    allow=("203.0.113.7", "2001:db8::/64"),
)
CART = MaintenanceRecord(hostname="cart.test", since=1000)


@pytest.fixture
def store(location: Location) -> Store:
    """A store with one token."""
    one = Store(location)
    one.migrate()
    one.create_token(
        TokenRecord(id="t", name="shop", secret_sha256="", hostnames=NAMES, created_at=1)
    )
    return one


def test_close_and_open(store: Store) -> None:
    """Each change raises the generation and is in the audit log; a second one takes its place."""
    generation = store.generation()
    store.begin_maintenance([SHOP, CART])
    assert store.maintenance() == [CART, SHOP]
    assert store.generation() > generation
    later = MaintenanceRecord(hostname="shop.test", since=1500)
    store.begin_maintenance([later])
    assert store.maintenance() == [CART, later]
    assert store.end_maintenance(["shop.test", "*.shop.test", "shop.test"], now=3000) == [
        "shop.test"
    ]
    assert store.maintenance() == [CART]
    assert [line[:3] for line in store.audit()[1:]] == [
        (1000, "maintenance.on", "shop.test"),
        (1000, "maintenance.on", "cart.test"),
        (1500, "maintenance.on", "shop.test"),
        (3000, "maintenance.off", "shop.test"),
    ]
    assert store.audit()[1][3] == "until=2000 allow=203.0.113.7,2001:db8::/64"


def test_all_or_none(store: Store) -> None:
    """A hostname that no token has changes nothing."""
    other = MaintenanceRecord(hostname="other.test", since=1000)
    with pytest.raises(HostnameNotFoundError):
        store.begin_maintenance([SHOP, other])
    assert store.maintenance() == []
    store.begin_maintenance([SHOP])
    with pytest.raises(HostnameNotFoundError):
        store.end_maintenance(["shop.test", "other.test"])
    assert store.maintenance() == [SHOP]


def test_it_goes_with_the_hostname(store: Store) -> None:
    """Who gets the name next gets it open."""
    store.begin_maintenance([SHOP, CART])
    store.remove_hostnames(["shop.test"])
    assert store.maintenance() == [CART]
    store.revoke_tokens(["shop"])
    assert store.maintenance() == []


def test_in_the_snapshot(store: Store, place: Place, tmp_path: Path) -> None:
    """An edge that starts without its database keeps closed what was closed; so does a new one."""
    store.begin_maintenance([SHOP, CART])
    snapshot = store.snapshot()
    assert snapshot.maintenance == (CART, SHOP)
    path = tmp_path / "snapshot.json"
    save_snapshot_file(snapshot, path)
    assert load_snapshot_file(path) == snapshot
    other = Store(place())
    other.migrate()
    other.restore(snapshot)
    assert other.maintenance() == [CART, SHOP]
    # A file of an edge that did not know of it.
    path.write_bytes(path.read_bytes().replace(b'"maintenance"', b'"unknown"'))
    assert load_snapshot_file(path).maintenance == ()


def test_a_database_of_an_older_version(location: Location) -> None:
    """One of revision 0008 gets the table, and loses nothing."""
    store = Store(location)
    make_revision(
        store,
        "0008",
        "INSERT INTO tokens (id, name, secret_sha256, created_at) VALUES ('t', 'x', '', 1)",
        "INSERT INTO hostnames VALUES ('shop.test', 't', false)",
    )
    store.migrate()
    store.begin_maintenance([SHOP])
    assert store.maintenance() == [SHOP]
