"""What a page hears of several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from asgi_tunnel_edge.questions import together
from asgi_tunnel_edge.questions.live import LiveEdge
from asgi_tunnel_edge.questions.together import answer_together

if TYPE_CHECKING:
    import pytest

HOST = {"name": "a", "requests": 2, "statuses": [0, 2, 0, 0, 0], "sent": 5, "durations": [2, 0]}


class Processes:
    """Three: this one is number 1."""

    def __init__(self, *replies: dict[str, Any]) -> None:
        self.replies = replies
        self.asked: list[dict[str, Any]] = []

    async def own(self, _edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
        """Answer here."""
        return {"ok": True, **self._of(1, request)}

    async def others(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Answer there; a process that leaves is there, too, and one that is silent."""
        self.asked.append(request)
        about = {"state": "serving", "replies": True}
        found = [{**about, "worker": place, **self._of(place, request)} for place in (0, 2)]
        if "worker" in request:
            return [one for one in found if one["worker"] == request["worker"]]
        silent = {"state": "serving", "replies": False}
        return [*found, {**found[0], "state": "leaving"}, silent]

    def _of(self, place: int, request: dict[str, Any]) -> dict[str, Any]:
        reply = self.replies[place]
        if "sessions" in reply:
            after = request["after"]
            part = reply["sessions"][after : after + 2]
            end = after + len(part)
            more = end if end < len(reply["sessions"]) else None
            return {"sessions": part, "more": more}
        return reply


async def asked(
    monkeypatch: pytest.MonkeyPatch, processes: Processes, command: str, **more: Any
) -> dict[str, Any]:
    """What is heard."""
    monkeypatch.setattr(together, "answer", processes.own)
    return await answer_together(
        cast(LiveEdge, None),
        {"command": command, **more},
        processes.others,
        worker=1,
        workers=3,
    )


async def test_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are added, hostnames too; processes that leave or are silent are left out."""
    one = {"tunnels": 2, "is_overloaded": False, "hostnames": [HOST], "peers": [1]}
    other = {"tunnels": 3, "is_overloaded": True, "hostnames": [HOST, {**HOST, "name": "b"}]}
    found = await asked(monkeypatch, Processes(other, one, other), "traffic")
    assert (found["ok"], found["tunnels"], found["is_overloaded"]) == (True, 8, True)
    assert [(one["name"], one["requests"]) for one in found["hostnames"]] == [("a", 6), ("b", 4)]
    assert found["hostnames"][0]["statuses"] == [0, 6, 0, 0, 0]
    assert found["peers"] == [1]


async def test_what_one_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not asked."""
    processes = Processes({}, {"changed": []}, {})
    assert await asked(monkeypatch, processes, "check") == {"ok": True, "changed": []}
    assert processes.asked == []


async def test_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sessions once, over as many pages as it takes."""
    monkeypatch.setattr(together, "PAGE", 3)
    lists = [[{"id": f"{place}{number}"} for number in range(3)] for place in range(3)]
    processes = Processes(*({"sessions": one} for one in lists))
    found: list[str] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        reply = await asked(monkeypatch, processes, "tunnels", after=after)
        found += [one["id"] for one in reply["sessions"]]
        after = reply["more"]
        pages += 1
    assert found == [one["id"] for each in lists for one in each]
    assert pages < 9
