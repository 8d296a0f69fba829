"""MCP servers of the SDK and of FastMCP with the same tools, as a user has them: no app is made.

``asgi-tunnel run tests.mcp_clients.servers:sdk`` and ``...:fast`` serve them.
"""

from __future__ import annotations

import os
from typing import Any

import anyio
import fastmcp
from mcp.server.mcpserver import Context, MCPServer

calls: dict[str, str] = {}
"""What has become of each call of ``wait``: running, done or cancelled."""

turns: dict[str, anyio.Event] = {}
"""For what the next step of a call of ``steps`` waits, by the call's name."""


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def pid() -> int:
    """Return the process."""
    return os.getpid()


async def _steps(name: str, count: int, ctx: Any) -> str:
    for number in range(1, count + 1):
        turns[name] = anyio.Event()
        await ctx.report_progress(number, count)
        await turns[name].wait()
    return f"{count} steps"


def go(name: str) -> str:
    """Let a call of ``steps`` take its next step."""
    turns[name].set()
    return name


async def _wait(name: str, ctx: Any) -> str:
    calls[name] = "running"
    try:
        await ctx.report_progress(1)
        await anyio.sleep(30)
    except anyio.get_cancelled_exc_class():
        calls[name] = "cancelled"
        raise
    calls[name] = "done"
    return name


async def _slow(count: int, ctx: Any) -> str:
    for number in range(1, count + 1):
        await ctx.report_progress(number, count)
        await anyio.sleep(0.1)
    return f"{count} parts"


def state(name: str) -> str:
    """Return what has become of a call of ``wait``."""
    return calls.get(name, "unknown")


sdk = MCPServer("shop")
fast = fastmcp.FastMCP("shop")
for tool in (add, pid, go, state):
    sdk.tool()(tool)
    fast.tool(tool)


@sdk.tool(name="steps")
async def _sdk_steps(name: str, count: int, ctx: Context) -> str:
    return await _steps(name, count, ctx)


@sdk.tool(name="wait")
async def _sdk_wait(name: str, ctx: Context) -> str:
    return await _wait(name, ctx)


@sdk.tool(name="slow")
async def _sdk_slow(count: int, ctx: Context) -> str:
    return await _slow(count, ctx)


@fast.tool(name="steps")
async def _fast_steps(name: str, count: int, ctx: fastmcp.Context) -> str:
    return await _steps(name, count, ctx)


@fast.tool(name="wait")
async def _fast_wait(name: str, ctx: fastmcp.Context) -> str:
    return await _wait(name, ctx)


@fast.tool(name="slow")
async def _fast_slow(count: int, ctx: fastmcp.Context) -> str:
    return await _slow(count, ctx)


strict = fast.http_app(host_origin_protection=True)
"""FastMCP's app that looks at every Host and Origin."""

app = sdk.streamable_http_app()
"""The SDK's app, as its pages show it."""
