"""The section "Programs" of docs/compatibility.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.realapps.differences import ALLOWED

if TYPE_CHECKING:
    from tests.realapps.suite import Result

PAGE: Final = "docs/compatibility.md"
BEGIN: Final = "<!-- programs: written by `make realapps ARGS=--write` -->"
END: Final = "<!-- programs: end -->"
TITLE: Final = "# Compatibility\n"

_APPS: Final = """\
## Programs

Each program does its work twice: through an edge and `asgi-tunnel run`, and on uvicorn, over TLS
both times. What its visitors see (status, headers, bodies, messages) is compared, and so is whether
the process ends at SIGTERM. `make realapps` runs it.
"""

_SERVERS: Final = """\
### Servers behind the services table

These have a port of their own, and are as they are without a tunnel. Each does its work through an
edge with TLS, `asgi-tunnel run` and a [table of services](howto/services.md), and for a visitor of
its port.
"""


def render(results: list[Result]) -> str:
    """Return the section for these results."""
    apps = [one for one in results if one.program.start is None]
    servers = [one for one in results if one.program.start is not None]
    lines = [_APPS, *_table(apps), "", _SERVERS, *_table(servers)]
    if ALLOWED:
        lines += [
            "",
            "Differences that are allowed:",
            "",
            "| Program | What | Why |",
            "|---|---|---|",
        ]
        lines += [f"| {row.program} | {row.fact} | {row.reason} |" for row in ALLOWED]
    return "\n".join(lines) + "\n"


def _table(results: list[Result]) -> list[str]:
    lines = ["| Program | Version | What is done | Visitors | Agrees |", "|---|---|---|---|---|"]
    for result in results:
        program = result.program
        verdict = result.verdict
        if verdict == "skipped":
            verdict = f"skipped: {', '.join(result.details)}"
        elif verdict == "no":
            first = result.details[0].split("\n", 1)[0]
            failed = "\n  File " in result.details[0]
            verdict = f"no: {'its work failed' if failed else first}"
        row = (program.name, result.version, program.does, program.visitors, verdict)
        lines.append("| " + " | ".join(row) + " |")
    return lines


def with_section(page: str, section: str) -> str:
    """Return the page with this section in the place of the old one, or at its end."""
    block = f"{BEGIN}\n\n{section}\n{END}"
    if BEGIN in page:
        pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
        return re.sub(pattern, lambda _: block, page, flags=re.DOTALL)
    return (page or TITLE).rstrip("\n") + "\n\n" + block + "\n"
