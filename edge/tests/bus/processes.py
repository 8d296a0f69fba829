"""Nodes that are processes, for tests that kill and freeze them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

PROGRAM: Final = Path(__file__).with_name("node_program.py")


class NodeProcess:
    """A node that holds one hostname."""

    def __init__(self, process: asyncio.subprocess.Process, node_id: str) -> None:
        self.process = process
        self.id = node_id

    async def end(self) -> None:
        """Kill it, frozen or not; may be called twice."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


@contextlib.asynccontextmanager
async def node_process(url: str, edge: str, hostname: str) -> AsyncIterator[NodeProcess]:
    """A node that has joined; killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, url, edge, hostname, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    node = NodeProcess(process, (await process.stdout.readline()).decode().strip())
    try:
        yield node
    finally:
        await node.end()
