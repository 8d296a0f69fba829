"""What a node knows of the others, and what of its own is not said yet."""

from __future__ import annotations

from asgi_tunnel_edge.bus import Node
from asgi_tunnel_edge.bus.table import OwnNames, Table

from .world import Heard

A, B = Node(id="1", edge="a"), Node(id="2", edge="b")


def test_nodes_and_holders() -> None:
    """The listener hears what has changed, and nothing twice."""
    table, heard = Table(), Heard()
    table.listener = heard
    table.put(A)
    table.put(A)
    table.put(B)
    assert heard.changes == 2
    for node in (A, B):
        table.change(node.id, ["x", "x"], [])
    assert heard.hostnames == ["x", "x"]
    assert table.find("x") == [A, B]
    table.change("1", [], ["x", "y"])
    assert table.find("x") == [B]
    table.replace("2", {"y"})
    assert table.find("x") == []
    assert table.find("y") == [B]
    table.change("3", ["x"], [])
    assert table.find("x") == []
    table.keep(["1"])
    table.remove("2")
    assert heard.gone == ["2"]
    assert table.nodes == [A]
    assert "1" in table
    assert not table.find("y")


def test_own_names() -> None:
    """What was held and released again is one change; what cannot be said waits."""
    own = OwnNames()
    assert own.hold("a")
    assert not own.hold("a")
    assert not own.hold("b")  # it is on its way already
    assert not own.release("a")
    assert not own.release("c")
    assert own.take() == (["b"], ["a"])
    assert not own.has_changes
    own.take_back(["a", "b"])
    assert own.take(1) == ([], ["a"])
    assert own.take(1) == (["b"], [])
    own.say_all()
    assert own.take() == (["b"], [])
