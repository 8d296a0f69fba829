from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.errors import BanNotFoundError, TooManyBansError
from asgi_tunnel_edge.storage import Store, load_snapshot_file, save_snapshot_file
from asgi_tunnel_edge.storage import store as module
from asgi_tunnel_edge.tokens import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from asgi_tunnel_edge.storage.dialect import Location

ONE = BanRecord(address="203.0.113.7", created_at=1000, expires_at=2000, reason="loud")
TWO = BanRecord(address="2001:db8::/64", created_at=1001)


@pytest.fixture
def store(location: Location) -> Store:
    """An empty store."""
    one = Store(location)
    one.migrate()
    return one


def test_in_the_snapshot(store: Store, tmp_path: Path) -> None:
    """Bans raise the generation, come with a snapshot and survive in its file."""
    store.add_ban(TWO)
    store.add_ban(ONE)
    snapshot = store.snapshot()
    assert snapshot.bans == (ONE, TWO)
    assert snapshot.generation == 2
    path = tmp_path / "snapshot.json"
    save_snapshot_file(snapshot, path)
    assert load_snapshot_file(path) == snapshot


def test_file_of_an_edge_without_bans(tmp_path: Path) -> None:
    """A snapshot that an older edge saved has no bans, and is read."""
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps({"version": 1, "generation": 3, "tokens": []}))
    assert load_snapshot_file(path) == Snapshot.of(3, [])


def test_expired_bans_go(store: Store) -> None:
    """The next change forgets what is over."""
    store.add_ban(ONE)
    store.add_ban(BanRecord(address="10.0.0.1", created_at=2000))
    assert [ban.address for ban in store.bans()] == ["10.0.0.1"]


def test_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for a number of bans; a banned address can still be banned anew."""
    monkeypatch.setattr(module, "MAX_BANS", 2)
    store.add_ban(ONE)
    store.add_ban(TWO)
    with pytest.raises(TooManyBansError):
        store.add_ban(BanRecord(address="10.0.0.1", created_at=1002))
    store.add_ban(TWO)
    assert len(store.bans()) == 2


def test_remove(store: Store) -> None:
    """A ban is taken back once; then there is none."""
    store.add_ban(ONE)
    store.remove_bans([ONE.address, ONE.address], now=1500)
    with pytest.raises(BanNotFoundError):
        store.remove_bans([ONE.address], now=1500)
    assert store.bans() == []


def scanner_ban(number: int, owner: str = "tok_1", *, at: int = 1000) -> ScannerBan:
    """A ban as the scanner guard makes it, for 100 s."""
    return ScannerBan(
        address=f"192.0.2.{number}", owner=owner, created_at=at, expires_at=at + 100, reason="why"
    )


def test_scanner_bans_in_the_snapshot(store: Store, tmp_path: Path) -> None:
    """They come with a snapshot and its file, and cost one change and no line of the audit log."""
    bans = [scanner_ban(1), scanner_ban(1, ""), scanner_ban(2)]
    store.add_scanner_bans(bans, now=1000)
    snapshot = store.snapshot()
    assert snapshot.generation == 1
    assert sorted((ban.address, ban.owner) for ban in snapshot.scanner_bans) == [
        ("192.0.2.1", ""),
        ("192.0.2.1", "tok_1"),
        ("192.0.2.2", "tok_1"),
    ]
    assert store.audit() == []
    path = tmp_path / "snapshot.json"
    save_snapshot_file(snapshot, path)
    assert load_snapshot_file(path) == snapshot


def test_scanner_bans_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over goes, and of too many the first ones; a second ban replaces the first."""
    monkeypatch.setattr(module, "MAX_SCANNER_BANS", 3)
    store.add_scanner_bans([scanner_ban(1, at=800)], now=800)
    store.add_scanner_bans([scanner_ban(number, at=1000 + number) for number in range(5)], now=1000)
    store.add_scanner_bans([scanner_ban(4, at=1050)], now=1050)
    assert [(ban.address, ban.created_at) for ban in store.scanner_bans()] == [
        ("192.0.2.2", 1002),
        ("192.0.2.3", 1003),
        ("192.0.2.4", 1050),
    ]


def test_operator_and_scanner_have_bounds_of_their_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scanners do not use up the operator's bans; taking an address back ends both kinds."""
    monkeypatch.setattr(module, "MAX_BANS", 1)
    store.add_scanner_bans([scanner_ban(1), scanner_ban(1, "tok_2")], now=1000)
    store.add_ban(BanRecord(address="192.0.2.1", created_at=1000))
    store.remove_bans(["192.0.2.1"], now=1001)
    assert (store.bans(), store.scanner_bans()) == ([], [])
    with pytest.raises(BanNotFoundError):
        store.remove_bans(["192.0.2.1"], now=1001)
