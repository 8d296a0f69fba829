from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from asgi_tunnel_edge.readiness import PATIENCE, Readiness


class Edge:
    """The parts that are asked, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.context = SimpleNamespace(is_stopping=False, is_replaced=False, is_overloaded=False)
        self.watcher = SimpleNamespace(is_failing=False, read_at=1000.0)
        self.names = {"example.test"}

    def find(self, name: str) -> object | None:
        """A certificate."""
        return name if name in self.names else None

    def readiness(self, *, tls: bool = True, shares_store: bool = False) -> Readiness:
        """What is asked."""
        parts = cast(Any, self)
        return Readiness(
            parts.context,
            parts.watcher,
            parts if tls else None,
            domain="example.test",
            shares_store=shares_store,
            now=lambda: self.now,
        )

    def reasons(self, *, tls: bool = True) -> list[str]:
        """What is found."""
        return self.readiness(tls=tls).reasons()


def test_each_reason() -> None:
    """All that hold are named, in one order."""
    edge = Edge()
    assert edge.reasons() == []
    edge.context.is_overloaded = True
    edge.names.clear()
    assert edge.reasons() == ["overloaded", "certificate"]
    assert edge.reasons(tls=False) == ["overloaded"]
    edge.context.is_stopping = True
    assert edge.reasons() == ["draining", "overloaded", "certificate"]


def test_another_process_takes_over() -> None:
    """An edge that changes its own process is ready all the time."""
    edge = Edge()
    edge.context.is_stopping = edge.context.is_replaced = True
    assert edge.reasons() == []


def test_a_lock_is_no_reason() -> None:
    """The database may be away for a moment; and come back."""
    edge = Edge()
    edge.watcher.is_failing = True
    edge.now += PATIENCE
    assert edge.reasons() == []
    edge.now += 1
    assert edge.reasons() == ["database"]
    edge.watcher.is_failing = False
    assert edge.reasons() == []


def test_a_database_that_all_edges_miss_is_a_note() -> None:
    """A balancer that left out each edge for it would have none, where all serve."""
    edge = Edge()
    readiness = edge.readiness(shares_store=True)
    edge.watcher.is_failing = True
    assert readiness.notes() == []
    edge.now += PATIENCE + 1
    assert (readiness.reasons(), readiness.notes()) == ([], ["database"])
    assert edge.readiness().notes() == []
    edge.names.clear()
    assert (readiness.reasons(), readiness.notes()) == (["certificate"], ["database"])
