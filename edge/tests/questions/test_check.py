from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from asgi_tunnel_edge.questions import LiveEdge, answer
from asgi_tunnel_edge.questions.live import LiveEdge as _LiveEdge
from asgi_tunnel_edge.settings.config import EdgeConfig


def live(config: EdgeConfig) -> LiveEdge:
    """An edge that has nothing but its settings."""
    nothing = cast(Any, None)
    return _LiveEdge(
        config=config,
        context=nothing,
        directory=nothing,
        table=nothing,
        counts=nothing,
        access_log=nothing,
        addresses=(),
    )


async def test_what_differs(tmp_path: Path) -> None:
    """The names of changed settings; one sentence for a file that cannot be used."""
    file = tmp_path / "edge.toml"
    file.write_text('domain = "a.test"\nlisten = "127.0.0.1:0"\n[limits]\n')
    edge = live(EdgeConfig.load(tmp_path))
    assert await answer(edge, {"command": "check"}) == {"ok": True, "changed": []}
    file.write_text('domain = "a.test"\nlisten = "127.0.0.1:1"\n[limits]\nmax_tunnels = 3\n')
    assert await answer(edge, {"command": "check"}) == {
        "ok": True,
        "changed": ["listen", "limits.max_tunnels"],
    }
    file.write_text("domain = ")
    reply = await answer(edge, {"command": "check"})
    assert not reply["ok"]
    assert reply["error"].startswith("edge.toml: syntax: ")


async def test_unknown(tmp_path: Path) -> None:
    """What nobody answers is said, with what there is."""
    config = EdgeConfig(data_dir=tmp_path, domain="a.test", listen="127.0.0.1:0")
    reply = await answer(live(config), {"command": "colour"})
    assert reply["ok"] is False
    assert (
        "there are check, connected, drain, kick, log, metrics, numbers, ping, reload, status, "
        in reply["error"]
    )
    assert await answer(live(config), {"command": "ping"}) == {"ok": True}
