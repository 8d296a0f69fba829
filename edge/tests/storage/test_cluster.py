"""What the edges of a cluster keep about each other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage import Store, cluster
from asgi_tunnel_edge.storage.cluster import ClusterStore, NodeRecord

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.dialect import Location


@pytest.fixture
def store(location: Location) -> ClusterStore:
    """An empty one."""
    one = ClusterStore(location)
    one.migrate()
    return one


def node(name: str, port: int = 1) -> NodeRecord:
    """An edge."""
    return NodeRecord(
        name=name, peer_address=f"10.0.0.1:{port}", certificate=b"PEM", joined_at=1000
    )


def test_a_secret_is_kept_once(store: ClusterStore) -> None:
    """Of two edges that make one at the same moment, both get the one that is kept."""
    assert store.secret("ca") is None
    barrier, results = threading.Barrier(2), list[bytes]()

    def keep(value: bytes) -> None:
        mine = ClusterStore(store.location)
        barrier.wait()
        results.append(mine.keep_secret("ca", value))

    threads = [threading.Thread(target=keep, args=(value,)) for value in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1] == store.secret("ca")
    assert store.keep_secret("ca", b"three", replace=True) == b"three" == store.secret("ca")


def test_nodes_join_and_leave(store: ClusterStore) -> None:
    """By name; one that joins again takes its own place, and the audit log has all of it."""
    store.add_node(node("b"))
    store.add_node(node("a"))
    store.add_node(node("b", 2))
    assert store.nodes() == [node("a"), node("b", 2)]
    assert store.remove_node("b")
    assert not store.remove_node("b")
    assert store.nodes() == [node("a")]
    assert [line[1:3] for line in Store(store.location).audit()] == [
        ("cluster.join", "b"),
        ("cluster.join", "a"),
        ("cluster.join", "b"),
        ("cluster.leave", "b"),
    ]


def test_nodes_are_bounded(store: ClusterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is known may always join again."""
    monkeypatch.setattr(cluster, "MAX_NODES", 2)
    for name in ("a", "b", "b"):
        store.add_node(node(name))
    with pytest.raises(StorageError, match="has 2 edges; remove one first"):
        store.add_node(node("c"))
