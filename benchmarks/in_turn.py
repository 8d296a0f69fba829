"""Measures kinds of one small exchange in turn, and prints what each has more than the first."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

import uvloop

import asgi_tunnel.session

from .hot_path import Extras, measure

__all__ = ["compare", "print_lines"]


async def compare(kinds: Mapping[str, Extras], rounds: int, count: int) -> list[str]:
    """Return a line for each kind: the best of its rounds, and what it has more than the first.

    Args:
        kinds: By what they are called.
        rounds: Of each; one of every kind comes before the next round.
        count: Exchanges in one.
    """
    best = dict.fromkeys(kinds, 1.0)
    for _ in range(rounds):
        for name, extras in kinds.items():
            best[name] = min(best[name], sum(await measure(count, 32, extras)))
    first = next(iter(best.values()))
    return [
        f"{name:22} {seconds * 1e6:7.2f} us {(seconds - first) * 1e6:+7.2f} us"
        for name, seconds in best.items()
    ]


def print_lines(
    run: Callable[[int, int], Awaitable[list[str]]],
    about: str | None,
    *,
    rounds: int = 10,
    count: int = 4000,
) -> None:
    """Run a benchmark from the command line, and print its lines and of which code they are.

    Args:
        run: Takes rounds and count.
        about: What ``--help`` says.
        rounds: Of each kind, unless it is said.
        count: Exchanges in one, unless it is said.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, default=rounds, help="of each")
    parser.add_argument("--count", type=int, default=count, help="exchanges in one")
    options = parser.parse_args()

    async def lines() -> list[str]:
        return await run(options.rounds, options.count)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(lines())
    compiled = "compiled" if (asgi_tunnel.session.__file__ or "").endswith(".so") else "plain"
    sys.stdout.write("\n".join([*found, f"({compiled})", ""]))
