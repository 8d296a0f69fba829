"""FastMCP over streamable HTTP."""

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app."""
    from fastmcp import Context, FastMCP

    server = FastMCP("shop")

    @server.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool
    async def pack(count: int, ctx: Context) -> str:
        """Pack things, with a progress message for each."""
        for number in range(count):
            await ctx.report_progress(number + 1, count)
        return "x" * 200_000

    @server.resource("shop://name")
    def name() -> str:
        return "The shop"

    @server.prompt
    def ask(subject: str) -> str:
        return f"Tell me about {subject}"

    return server.http_app(
        host_origin_protection=True,
        allowed_hosts=["localhost"],
        allowed_origins=["https://localhost:*"],
    )


async def job(visit: Visit) -> None:
    """Run tools, get a prompt, read a resource."""
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    progress: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    transport = StreamableHttpTransport(visit.base + "/mcp", verify=visit.tls)
    async with Client(transport) as client:
        visit.note("tools", names=[tool.name for tool in await client.list_tools()])
        result = await client.call_tool("add", {"a": 2, "b": 3})
        visit.note("add", data=result.data)
        result = await client.call_tool("pack", {"count": 3}, progress_handler=on_progress)
        visit.note("pack", size=len(result.data), progress=progress)
        prompt = await client.get_prompt("ask", {"subject": "tea"})
        visit.note("prompt", text=prompt.messages[0].content.text)
        resource = await client.read_resource("shop://name")
        visit.note("resource", text=resource[0].text)
    with visit.httpx(headers={"origin": "https://evil.example.test"}) as http:
        visit.response("a foreign origin", http.post("/mcp", json={}), status=403)


PROGRAMS = [
    Program(
        name="FastMCP",
        module="fastmcp_app",
        distribution="fastmcp",
        does="streamable HTTP: tools, progress, a prompt, a resource, a foreign Origin refused",
        visitors="FastMCP",
        job=job,
        quick=True,
    )
]
