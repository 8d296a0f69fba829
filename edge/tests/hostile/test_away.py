"""The same attacks on a name whose app is away: they wait, and the edge goes on as before."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.harness import Edge, running_edge

from .cases import CASES, Case
from .conftest import DOOR, create_pass
from .wire import PASS, request, split_answers

PATIENCE = 20.0
AT_ONCE = 16


async def ask(edge: Edge, data: bytes) -> bytes:
    """All that comes back on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(data)
            return await reader.read()
    except ConnectionError:  # closed while it still sent
        return b""
    finally:
        writer.close()


async def test_each_attack_has_one_answer_and_the_clocks_go_on(tmp_path: Path) -> None:
    """400, or 503 where the app is waited for first; afterwards the edge does as before."""
    wrong: list[str] = []
    turn = asyncio.Semaphore(AT_ONCE)

    async def attack(case: Case) -> None:
        async with turn:
            answers = split_answers(await ask(edge, case.data))
        allowed = case.statuses | ({503} if case.may_run else set())
        if [one.status in allowed for one in answers] not in ([True], []):
            wrong.append(f"{case}: {[one.status for one in answers]}")

    settings = DOOR if PASS else ""
    with running_edge(tmp_path, limits="hold_timeout = 0.3", settings=settings) as edge:
        if PASS:
            create_pass(edge)
        edge.create_token("shop")
        await asyncio.gather(*map(attack, CASES))
        assert wrong == []
        # What waits for an app, and what has sent half a head, is found by the same timer.
        plain = request(b"GET", b"/", b"Connection: close")
        assert [one.status for one in split_answers(await ask(edge, plain))] == [503]
        output = edge.running.output
    assert "Traceback" not in output, output
