"""The section "Requests and behaviours" of docs/compatibility.md."""

from __future__ import annotations

import re
from typing import Final

from .allowed import ALLOWED

PAGE: Final = "docs/compatibility.md"
BEGIN: Final = "<!-- differential: written by `make differential ARGS=--write` -->"
END: Final = "<!-- differential: end -->"

_INTRODUCTION: Final = """\
## Requests and behaviours

`make differential SECONDS=3600` makes up connections of visitors and what an app does with each of
their requests, and holds each one three times: through an edge and a connector, on uvicorn with
httptools and websockets, and on uvicorn with h11 and wsproto. The bytes and the app object are the
same. Compared are the scope, the messages that the app receives and the errors that it gets,
the response as a strict parser reads it, the WebSocket's frames, and whether the connection stays.
What one of the two forms of uvicorn does is right; all else is a defect, or in this list.

"""


def render(run: str) -> str:
    """Return the section.

    Args:
        run: One sentence about the last long run.
    """
    lines = [_INTRODUCTION + run, "", "| Allowed difference | What | Why |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.what} | {row.why} |" for row in ALLOWED]
    return "\n".join(lines) + "\n"


def read_run(page: str) -> str:
    """Return the sentence about the last run that the page has."""
    section = page[page.index(BEGIN) : page.index(END)]
    match = re.search(r"^The last long run.*?(?=\n\n)", section, re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[0]


def with_section(page: str, run: str) -> str:
    """Return the page with this section in the place of the old one, or at its end."""
    block = f"{BEGIN}\n\n{render(run)}\n{END}"
    if BEGIN in page:
        pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
        return re.sub(pattern, lambda _: block, page, flags=re.DOTALL)
    return page.rstrip("\n") + "\n\n" + block + "\n"
