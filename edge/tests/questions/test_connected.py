from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from asgi_tunnel_edge.questions.connected import answer
from asgi_tunnel_edge.questions.live import LiveEdge


def entry(token: str, *, is_attached: bool = True) -> Any:
    """A session."""
    session = SimpleNamespace(is_attached=is_attached)
    return SimpleNamespace(token=SimpleNamespace(id=token), session=session)


async def test_each_token_once() -> None:
    """Those whose connection is lost are not connected."""
    entries = [entry("a"), entry("a"), entry("b", is_attached=False), entry("c")]
    edge = SimpleNamespace(
        directory=SimpleNamespace(entries=entries), context=SimpleNamespace(is_overloaded=True)
    )
    found = await answer(cast(LiveEdge, edge), {})
    assert sorted(found["tokens"]) == ["a", "c"]
    assert found["is_overloaded"]
