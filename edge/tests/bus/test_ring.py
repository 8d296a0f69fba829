"""Who watches over whom."""

from __future__ import annotations

from asgi_tunnel_edge.bus.ring import successor


def test_everybody_is_watched_by_one() -> None:
    """Each node by the one before it; who is alone watches nobody."""
    ids = ["b", "a", "d", "c"]
    found = {own: successor(own, [one for one in ids if one != own]) for own in ids}
    assert found == {"a": "b", "b": "c", "c": "d", "d": "a"}
    assert successor("a", []) is None
