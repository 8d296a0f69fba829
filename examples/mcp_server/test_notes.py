"""The example as an assistant sees it, started as README.md says: the SDK's own client."""

from pathlib import Path
from typing import Any

from mcp import Client
from mcp_types import TextContent, TextResourceContents


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content["result"]


async def test_notes_are_kept_and_found(url: str) -> None:
    """A note is found by words of it, whatever their case and order; others are not."""
    async with Client(url) as client:
        assert {one.name for one in (await client.list_tools()).tools} == {
            "add_note",
            "count_words",
            "find_notes",
        }
        name = await call(client, "add_note", text="The boiler was serviced in May.")
        await call(client, "add_note", text="Paint the fence.")
        found = await call(client, "find_notes", words="may BOILER")
        assert found == [{"name": name, "text": "The boiler was serviced in May."}]
        assert await call(client, "find_notes", words="roof") == []


def test_the_command_is_the_one_that_is_run(url: str) -> None:
    """What README.md says to type is what these tests have started."""
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    assert " asgi-tunnel run --app-dir examples/mcp_server server:mcp\n" in readme
    assert url.endswith("/mcp")


async def test_progress(url: str) -> None:
    """A message for each note, as it is counted."""
    seen = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with Client(url) as client:
        await call(client, "add_note", text="one two three")
        result = await client.call_tool("count_words", progress_callback=on_progress)
        counted = result.structured_content
        assert counted is not None
        assert 3 in counted.values()
    assert seen == [(number, len(counted)) for number in range(1, len(counted) + 1)]


async def test_resource(url: str) -> None:
    """The newest note is there without a call."""
    async with Client(url) as client:
        await call(client, "add_note", text="the very newest")
        contents = (await client.read_resource("notes://newest")).contents[0]
        assert isinstance(contents, TextResourceContents)
        assert contents.text == "the very newest"


async def test_what_is_no_note_is_refused(url: str) -> None:
    """Nothing empty is kept, and the assistant is told why."""
    async with Client(url) as client:
        result = await client.call_tool("add_note", {"text": ""})
        assert result.is_error
        content = result.content[0]
        assert isinstance(content, TextContent)
        assert "at least 1 character" in content.text
