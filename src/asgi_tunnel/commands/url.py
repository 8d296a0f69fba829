"""``asgi-tunnel url``: where visitors find the app, also as a QR code for a phone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .options import add_common_options, load_config, print_json, why_unreached

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets ``function``, which returns the exit code."""
    url = commands.add_parser(
        "url",
        help="print the public URLs of the token",
        description="Print the public URLs of the token: the edge is asked. No running app is "
        "displaced.",
    )
    url.add_argument("--qr", action="store_true", help="each also as a QR code, for a phone")
    add_common_options(url)
    url.set_defaults(function=_url)


def _url(options: argparse.Namespace) -> int:
    import asyncio

    from ..errors import ConfigError, TunnelError
    from ..probe import probe

    config = load_config(options)
    draw = None
    if options.qr:
        try:
            import segno
        except ImportError:
            why = "needs the package segno, which is not installed"
            raise ConfigError("--qr", why, 'pip install "asgi-tunnel[qr]"') from None
        draw = segno.make
    try:
        welcome = asyncio.run(probe(config))
    except (OSError, TunnelError) as error:
        sentence = why_unreached(error)
        if options.json:
            print_json({"error": {"code": "edge", "message": sentence}})
        else:
            print(f"asgi-tunnel: {sentence}", file=sys.stderr)
        return 1
    if options.json:
        print_json({"urls": list(welcome.urls)})
        return 0
    for one in welcome.urls:
        print(one)
        if draw is not None and "*" not in one:
            draw(one, micro=False).terminal(out=sys.stdout, compact=True)
    if not welcome.urls:
        print("asgi-tunnel: the token has no hostnames", file=sys.stderr)
    return 0
