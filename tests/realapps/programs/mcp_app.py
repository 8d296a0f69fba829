"""The MCP SDK: streamable HTTP, with and without a bearer token."""

from typing import Any

from tests.realapps.visit import Program, Visit

TOKEN = "secret-1"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "suite", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}


def _server(**options: Any) -> Any:
    from mcp.server.mcpserver import Context, MCPServer

    server = MCPServer("shop", **options)

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    async def pack(count: int, ctx: Context) -> str:
        """Pack things, with a progress message for each."""
        for number in range(count):
            await ctx.report_progress(number + 1, count)
        return f"packed {count}"

    @server.resource("shop://name")
    def name() -> str:
        return "The shop"

    return server


def _security() -> Any:
    from mcp.server.transport_security import TransportSecuritySettings

    return TransportSecuritySettings(
        allowed_hosts=["localhost:*"], allowed_origins=["https://localhost:*"]
    )


def create() -> Any:
    """Return the app without a login."""
    return _server().streamable_http_app(transport_security=_security())


def create_with_token() -> Any:
    """Return the app that asks for a bearer token."""
    from mcp.server.auth.provider import AccessToken
    from mcp.server.auth.settings import AuthSettings

    class Verifier:
        async def verify_token(self, token: str) -> Any:
            known = token == TOKEN
            return AccessToken(token=token, client_id="suite", scopes=["shop"]) if known else None

    settings = AuthSettings.model_validate(
        {
            "issuer_url": "https://login.example.test",
            "resource_server_url": "https://localhost/mcp",
            "required_scopes": ["shop"],
        }
    )
    server = _server(auth=settings, token_verifier=Verifier())
    return server.streamable_http_app(transport_security=_security())


async def job(visit: Visit, headers: dict[str, str] | None = None) -> None:
    """Run tools, read a resource, and come with a wrong Origin."""
    import httpx2
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    progress: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with (
        httpx2.AsyncClient(verify=visit.tls, headers=headers, timeout=30) as http,
        streamable_http_client(visit.base + "/mcp", http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        started = await session.initialize()
        visit.note("initialize", server=started.server_info.name)
        tools = await session.list_tools()
        visit.note("tools", names=[tool.name for tool in tools.tools])
        for name, arguments in (("add", {"a": 2, "b": 3}), ("pack", {"count": 5})):
            result = await session.call_tool(name, arguments, progress_callback=on_progress)
            visit.note(name, content=[item.text for item in result.content])
        resource = await session.read_resource("shop://name")
        visit.note("resource", content=[item.text for item in resource.contents])
    visit.note("progress", seen=progress)
    assert progress == [1, 2, 3, 4, 5]
    with visit.httpx(headers={**ACCEPT, **(headers or {})}) as client:
        visit.response("initialize by hand", client.post("/mcp", json=INITIALIZE))
        evil = {"origin": "https://evil.example.test"}
        visit.response(
            "a foreign origin", client.post("/mcp", json=INITIALIZE, headers=evil), status=403
        )


async def job_with_token(visit: Visit) -> None:
    """Be refused, find the metadata that the refusal names, and come back with a token."""
    with visit.httpx(headers=ACCEPT) as client:
        visit.response("no token", client.post("/mcp", json=INITIALIZE), status=401)
        visit.response("metadata", client.get("/.well-known/oauth-protected-resource/mcp"))
    await job(visit, {"authorization": f"Bearer {TOKEN}"})


PROGRAMS = [
    Program(
        name="MCP SDK",
        module="mcp_app",
        distribution="mcp",
        does="streamable HTTP: tools, progress messages, a resource, a foreign Origin refused",
        visitors="MCP SDK, httpx",
        job=job,
        quick=True,
    ),
    Program(
        name="MCP SDK with a bearer token",
        module="mcp_app",
        factory="create_with_token",
        distribution="mcp",
        does="401 with its metadata's URL, then tools with a token",
        visitors="MCP SDK, httpx",
        job=job_with_token,
    ),
]
