"""The blocks of the pages, and what the tests do with each of them.

A block is run here, or by the test that a comment above it names, or says why it is not run:
``<!-- not run: needs a VPS -->``. ``text`` is no code: drawings, records of a zone, output alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from scripts.check_docs import PAGES, ROOT, SHELLS, Block, Page

RUN_HERE: Final = SHELLS | {"jinja", "json", "nginx", "python", "toml"}
NO_CODE: Final = frozenset({"text"})


@dataclass(frozen=True, slots=True)
class Found:
    """One block, and the page that it is on."""

    page: Page
    block: Block

    def __str__(self) -> str:
        return f"{self.page.name}:{self.block.line}"

    @property
    def handled(self) -> str:
        """``run here``, a note's name, ``no code``, or ``nothing``."""
        for note in ("not run", "run by", "part of", "typed on"):
            if note in self.block.notes:
                return note
        if self.block.language in NO_CODE:
            return "no code"
        return "run here" if self.block.language in RUN_HERE else "nothing"


@cache
def pages() -> tuple[Page, ...]:
    """Every page of the repository."""
    paths = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    return tuple(Page.read(path) for path in paths)


def blocks() -> Iterator[Found]:
    """Every block of every page, in order."""
    for page in pages():
        for block in page.blocks:
            yield Found(page, block)


def run_here(*languages: str) -> list[Found]:
    """The blocks in these languages that are run by the tests of this folder."""
    return [
        one for one in blocks() if one.block.language in languages and one.handled == "run here"
    ]


def report() -> list[str]:
    """How many blocks there are, by what happens to them, and those that are not run."""
    every = list(blocks())
    counts = Counter(one.handled for one in every)
    shown = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    skipped = [
        f"  {one}: {one.block.notes['not run']}" for one in every if one.handled == "not run"
    ]
    return [f"{len(every)} blocks on {len(pages())} pages: {shown}", *skipped]
