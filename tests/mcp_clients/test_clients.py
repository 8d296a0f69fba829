"""Real MCP clients through a real edge: what works in a local network works through a tunnel.

Each test runs with the SDK and with FastMCP, in both eras of the protocol: requests that stand
alone (2026-07-28), and sessions (2025-11-25 and before). The server is started as
docs/howto/mcp.md starts it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import fastmcp
import httpx2
import pytest
import tests.e2e.names  # noqa: F401 - names below localhost lead to this machine
from fastmcp.client.transports import StreamableHttpTransport
from mcp import Client, MCPError
from tests.e2e.harness import Edge, Process, Token, running_app, running_edge
from tests.faults.proxy import FaultProxy, fault_proxy, through

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
ERAS = ("auto", "legacy")


@pytest.fixture
def anyio_backend() -> str:
    """The clients' event loop."""
    return "asyncio"


@dataclass
class Place:
    """An app behind an edge, and a line between the two that can be cut."""

    folder: Path
    edge: Edge
    proxy: FaultProxy
    token: Token
    server: str
    stack: ExitStack
    app: Process = field(init=False)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{self.token.urls[0]}/mcp"

    def start(self) -> None:
        """Start the app, or another process of it."""
        text = through(self.proxy, self.token)
        self.app = self.stack.enter_context(
            running_app(self.folder, text, self.server, app_dir=ROOT)
        )

    def restart(self) -> None:
        """End the process and start another one."""
        assert self.app.stop() == 0, self.app.output
        self.start()


@contextmanager
def _place(folder: Path, server: str) -> Iterator[Place]:
    with (
        running_edge(folder, domain="localhost") as edge,
        fault_proxy(edge.port) as proxy,
        ExitStack() as stack,
    ):
        place = Place(folder, edge, proxy, edge.create_token("shop"), server, stack)
        place.start()
        yield place


@pytest.fixture(scope="module", params=["sdk", "fast"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """The SDK's server, then FastMCP's."""
    with _place(
        tmp_path_factory.mktemp("place"), f"tests.mcp_clients.servers:{request.param}"
    ) as running:
        yield running


class SDKClient:
    """The SDK's client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def tools(self) -> list[str]:
        """Names of the tools."""
        return [one.name for one in (await self.client.list_tools()).tools]

    async def call(self, tool: str, progress: Any = None, /, **arguments: Any) -> Any:
        """Call a tool; return what it returned."""
        result = await self.client.call_tool(tool, arguments, progress_callback=progress)
        assert not result.is_error, result
        return result.structured_content["result"]


class FastClient:
    """FastMCP's client."""

    def __init__(self, client: fastmcp.Client[Any]) -> None:
        self.client = client

    async def tools(self) -> list[str]:
        """Names of the tools."""
        return [one.name for one in await self.client.list_tools()]

    async def call(self, tool: str, progress: Any = None, /, **arguments: Any) -> Any:
        """Call a tool; return what it returned."""
        result = await self.client.call_tool(tool, arguments, progress_handler=progress)
        return result.structured_content["result"]


Connect = Callable[[str], Any]


@pytest.fixture(params=[f"{kind}-{era}" for kind in ("sdk", "fast") for era in ERAS])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a client: the SDK's, then FastMCP's, in each era."""
    kind, era = request.param.split("-")

    @asynccontextmanager
    async def sdk(url: str) -> Any:
        async with Client(url, mode=era) as client:
            yield SDKClient(client)

    @asynccontextmanager
    async def fast(url: str) -> Any:
        async with fastmcp.Client(StreamableHttpTransport(url), mode=era) as client:
            yield FastClient(client)

    return sdk if kind == "sdk" else fast


async def until(condition: Callable[[], Awaitable[bool]], *, within: float) -> float:
    """Return after how many seconds something was true."""
    began = anyio.current_time()
    while not await condition():
        assert anyio.current_time() - began < within, f"not in {within:g} s"
        await anyio.sleep(0.02)
    return anyio.current_time() - began


async def test_tools_are_listed_and_called(place: Place, connect: Connect) -> None:
    """The public host is allowed without a word in the server's code; the log says so."""
    async with connect(place.url) as client:
        assert {"add", "steps", "wait"} <= set(await client.tools())
        assert await client.call("add", a=2, b=3) == 5
    assert f"MCP clients connect to {place.url}" in place.app.output


async def test_progress_streams(place: Place, connect: Connect) -> None:
    """Each message arrives before the next one is sent: the tool waits for the client's word."""
    name, seen = uuid4().hex, []
    async with connect(place.url) as client, connect(place.url) as other:

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            seen.append(done)
            assert await other.call("go", name=name) == name

        with anyio.fail_after(15):
            assert await client.call("steps", on_progress, name=name, count=5) == "5 steps"
    assert seen == [1, 2, 3, 4, 5]


async def test_cancel_stops_the_tool(place: Place, connect: Connect) -> None:
    """A call that the client cancels is cancelled in the tool within a second."""
    name, started = uuid4().hex, anyio.Event()

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        started.set()

    async with connect(place.url) as client, anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def call() -> None:
            with scope:
                await client.call("wait", on_progress, name=name)

        tasks.start_soon(call)
        await started.wait()
        assert await client.call("state", name=name) == "running"
        scope.cancel()

        async def is_cancelled() -> bool:
            return bool(await client.call("state", name=name) == "cancelled")

        await until(is_cancelled, within=1.0)


async def test_a_cut_line_changes_nothing(place: Place, connect: Connect) -> None:
    """The tunnel's connection is reset in the middle of a call: it ends right, nothing is missing.

    A session lives on as well.
    """
    seen: list[float] = []
    async with connect(place.url) as client:
        before = place.proxy.connections

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            seen.append(done)
            if done == 3:
                await anyio.to_thread.run_sync(place.proxy.cut)

        with anyio.fail_after(15):
            assert await client.call("slow", on_progress, count=10) == "10 parts"
        assert seen == [float(one) for one in range(1, 11)]
        assert place.proxy.connections > before
        await anyio.to_thread.run_sync(place.proxy.cut)
        assert await client.call("add", a=1, b=1) == 2


async def test_a_client_that_leaves_cancels_the_tool(place: Place) -> None:
    """Who closes the connection of a request that stands alone cancels its tool."""
    name = uuid4().hex
    async with Client(place.url) as client:
        schema = client.protocol_version
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "wait",
                "arguments": {"name": name},
                "_meta": {
                    "progressToken": 1,
                    "io.modelcontextprotocol/protocolVersion": schema,
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        }
        fields = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": schema,
            "mcp-method": "tools/call",
            "mcp-name": "wait",
        }
        async with (
            httpx2.AsyncClient() as http,
            http.stream("POST", place.url, json=body, headers=fields) as response,
        ):
            assert response.status_code == 200, await response.aread()
            async for line in response.aiter_lines():
                if "progress" in line:
                    break
            assert (await client.call_tool("state", {"name": name})).structured_content == {
                "result": "running"
            }

        async def is_cancelled() -> bool:
            result = await client.call_tool("state", {"name": name})
            return bool(result.structured_content == {"result": "cancelled"})

        await until(is_cancelled, within=1.0)


async def test_another_process_of_the_app(
    place: Place, connect: Connect, request: pytest.FixtureRequest
) -> None:
    """After a restart a request that stands alone is served; a session gets 404, and a new one."""
    has_session = request.node.callspec.params["connect"].endswith("legacy")
    async with connect(place.url) as client:
        first = await client.call("pid")
        await anyio.to_thread.run_sync(place.restart)
        if has_session:
            with pytest.raises(MCPError, match=r"Session (not found|terminated)"):
                await client.call("pid")
        else:
            assert await client.call("pid") != first
    async with connect(place.url) as client:
        assert await client.call("pid") != first


async def test_the_404_of_a_lost_session(place: Place) -> None:
    """What a client of any language gets for a session of a process that is gone."""
    fields = {"accept": "application/json, text/event-stream", "mcp-session-id": "gone"}
    async with httpx2.AsyncClient() as http:
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}
        response = await http.post(place.url, json=body, headers=fields)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "Session not found"


@pytest.mark.parametrize("server", ["app", "strict"])
def test_hosts_and_origins(server: str, tmp_path: Path) -> None:
    """An app that looks at both takes the public ones, and no others."""
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "suite", "version": "1"},
        },
    }
    fields = {"accept": "application/json, text/event-stream"}
    with _place(tmp_path, f"tests.mcp_clients.servers:{server}") as place, httpx2.Client() as http:

        def status(**more: str) -> int:
            return http.post(place.url, json=body, headers={**fields, **more}).status_code

        own = place.token.urls[0]
        assert status() not in (403, 421)
        assert status(origin=own) not in (403, 421)
        assert status(origin="https://evil.example") == 403
        other = f"{place.token.hostnames[0]}:1"
        assert status(host=other) in (421, 200, 400)  # FastMCP looks at the name alone
        assert "is among its allowed hosts now" in place.app.output


@pytest.mark.parametrize("block", [0, 1], ids=["SDK", "FastMCP"])
def test_the_page(block: int, tmp_path: Path) -> None:
    """What docs/howto/mcp.md says to write and to type leads to the lines that it shows."""
    text = (ROOT / "docs/howto/mcp.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[block]
    (tmp_path / "main.py").write_text(code, encoding="utf-8")
    [console] = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    command, *lines = console.splitlines()
    assert command == "$ asgi-tunnel run main:mcp"
    with running_edge(tmp_path, domain="localhost") as edge:
        token = edge.create_token("shop")
        host = token.urls[0].removeprefix("http://")
        with running_app(tmp_path, token, "main:mcp", ready="MCP clients connect") as app:
            if block == 1:  # FastMCP looks at no Host, so nothing is added
                lines[1] = lines[1].partition(";")[0]
            for line in lines:
                expected = line.replace("https://", "http://").replace("shop.example.com", host)
                assert expected in app.output
