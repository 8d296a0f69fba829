"""Notes in a folder of yours, as tools for an assistant: an MCP server of the official SDK.

`asgi-tunnel run server:mcp` puts it on the web; no app is made, and no hostname is written here.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import anyio
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

MAX_NOTE: Final = 20_000
"""Characters of a note: an assistant reads it whole."""

MAX_FOUND: Final = 50
"""Notes in one result; who finds more asks for something narrower."""

mcp = MCPServer("notes", instructions="Keeps short notes. Look for one before you write it anew.")


class Note(BaseModel):
    """What a tool returns of a note."""

    name: str
    text: str


def folder() -> Path:
    path = Path(os.environ.get("NOTES_DIR", "notes"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def notes() -> list[Path]:
    return sorted(folder().glob("*.txt"), reverse=True)


@mcp.tool()
def add_note(text: Annotated[str, Field(min_length=1, max_length=MAX_NOTE)]) -> str:
    """Keep a note; return its name."""
    begin = re.sub(r"[^a-z0-9]+", "-", text[:40].lower()).strip("-") or "note"
    name = f"{datetime.now(UTC):%Y-%m-%d-%H%M%S-%f}-{begin}"
    (folder() / f"{name}.txt").write_text(text, encoding="utf-8")
    return name


@mcp.tool()
def find_notes(words: str) -> list[Note]:
    """Return the notes that have all of these words, the newest first."""
    wanted = words.lower().split()
    found = []
    for path in notes():
        text = path.read_text(encoding="utf-8")
        if all(word in text.lower() for word in wanted):
            found.append(Note(name=path.stem, text=text))
        if len(found) == MAX_FOUND:
            break
    return found


@mcp.tool()
async def count_words(ctx: Context) -> dict[str, int]:
    """Count the words of each note; the assistant sees how far it is."""
    paths = notes()
    counted = {}
    for number, path in enumerate(paths, start=1):
        text = await anyio.Path(path).read_text(encoding="utf-8")
        counted[path.stem] = len(text.split())
        await ctx.report_progress(number, len(paths), path.stem)
    return counted


@mcp.resource("notes://newest")
def newest() -> str:
    """The newest note."""
    return next((path.read_text(encoding="utf-8") for path in notes()), "There is no note yet.")
