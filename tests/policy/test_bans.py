from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_tunnel.errors import BanError, TunnelError
from asgi_tunnel.policy import allow, ban, bans
from asgi_tunnel.policy.bans import forget, register


class Tunnel:
    """Notes what it is asked, and replies as it was told."""

    def __init__(self, reply: dict[str, Any] | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.asked: list[dict[str, Any]] = []
        self.threads: list[int] = []
        self._reply = reply

    async def ask(self, values: dict[str, Any]) -> dict[str, Any]:
        """See ``Asker``."""
        self.asked.append(values)
        self.threads.append(threading.get_ident())
        if self._reply is None:
            await asyncio.Event().wait()
        assert self._reply is not None
        return self._reply


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tunnel of another test is known."""
    monkeypatch.setattr(bans, "_askers", {})


async def test_whom_a_ban_is_about() -> None:
    """An address, a network, a scope, or whatever has one."""
    tunnel = Tunnel({"ok": True})
    register(tunnel)
    scope = {"type": "http", "client": ("192.0.2.7", 4321)}
    for who in ("192.0.2.7", scope, SimpleNamespace(scope=scope)):
        await ban(who, for_=60, reason="x" * 300)
        values = tunnel.asked.pop()
        assert values == {"ban": "192.0.2.7", "seconds": 60, "reason": "x" * 200}
    await allow("192.0.2.0/24")
    assert tunnel.asked == [{"allow": "192.0.2.0/24"}]


@pytest.mark.parametrize("who", ["", "x" * 65, {"type": "http", "client": None}, {}])
async def test_what_is_no_address(who: Any) -> None:
    """Is said without asking anybody."""
    tunnel = Tunnel({"ok": True})
    register(tunnel)
    with pytest.raises(BanError) as caught:
        await ban(who)
    assert caught.value.code == "address"
    assert tunnel.asked == []


async def test_each_tunnel_of_the_process_is_asked() -> None:
    """Until it has ended."""
    one, other = Tunnel({"ok": True}), Tunnel({"ok": True})
    register(one)
    register(other)
    await ban("192.0.2.7")
    forget(one)
    forget(one)
    await ban("192.0.2.7")
    assert (len(one.asked), len(other.asked)) == (1, 2)
    forget(other)
    with pytest.raises(BanError, match="no tunnel of this process is open") as caught:
        await ban("192.0.2.7")
    assert caught.value.code == "no-tunnel"


async def test_what_the_edge_refuses() -> None:
    """Its word and its sentence; both, where it has none, are ours."""
    register(Tunnel({"ok": False, "code": "quota", "why": "there are 200"}))
    with pytest.raises(BanError, match="there are 200") as caught:
        await ban("192.0.2.7")
    assert caught.value.code == "quota"
    assert isinstance(caught.value, TunnelError)
    bans._askers.clear()
    register(Tunnel({"ok": 1}))
    with pytest.raises(BanError, match="the edge refuses it"):
        await ban("192.0.2.7")


async def test_an_edge_that_does_not_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is waited for ten seconds, and no longer."""
    monkeypatch.setattr(bans, "ASK_TIMEOUT", 0.01)
    register(Tunnel(None))
    with pytest.raises(BanError, match="did not reply") as caught:
        await ban("192.0.2.7")
    assert caught.value.code == "timeout"


async def test_from_another_thread() -> None:
    """The tunnel is asked in its own loop; the handler waits in its own."""
    tunnel = Tunnel({"ok": True})
    register(tunnel)
    await asyncio.to_thread(asyncio.run, ban("192.0.2.7"))
    assert tunnel.threads == [threading.get_ident()]
