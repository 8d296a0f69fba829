"""``asgi-tunnel token check``: what the token says, without its secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import add_common_options, load_config, print_json, why_unreached

if TYPE_CHECKING:
    import argparse

    from ..config import TunnelConfig

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and the one below it; it sets ``function``, which returns the exit code."""
    token = commands.add_parser(
        "token", help="explain the token", description="Explain the token of this app."
    )
    below = token.add_subparsers(required=True, metavar="COMMAND")
    check = below.add_parser(
        "check",
        help="say what the token says, without its secret",
        description="Say what the token says, without its secret: which edge it leads to, and "
        "what that edge is known by.",
    )
    check.add_argument(
        "--online", action="store_true", help="ask the edge, too; no running app is displaced"
    )
    add_common_options(check)
    check.set_defaults(function=_check)


def _check(options: argparse.Namespace) -> int:
    config = load_config(options)
    online = _ask(config) if options.online else None
    if options.json:
        print_json(
            {
                "edge": config.token.edge,
                "id": config.token.id,
                "pin": config.token.pin,
                "ca_file": None if config.ca_file is None else str(config.ca_file),
                "online": online,
            }
        )
    else:
        print("\n".join(_lines(config, online)))
    return 0 if online is None or online["accepted"] else 1


def _ask(config: TunnelConfig) -> dict[str, object]:
    import asyncio

    from ..errors import TunnelError
    from ..probe import probe

    try:
        welcome = asyncio.run(probe(config))
    except (OSError, TunnelError) as error:
        sentence = why_unreached(error)
        return {"accepted": False, "message": sentence, "hostnames": [], "urls": [], "agent": ""}
    return {
        "accepted": True,
        "message": "the edge takes the token",
        "hostnames": list(welcome.hostnames),
        "urls": list(welcome.urls),
        "agent": welcome.agent,
    }


def _lines(config: TunnelConfig, online: dict[str, object] | None) -> list[str]:
    token = config.token
    if token.pin is not None:
        known = f"by its certificate, {token.pin}, or one that it has named since"
    elif token.edge.startswith("ws://"):
        known = "by nothing: there is no TLS on the way"
    elif config.ca_file is not None:
        known = f"by a CA in {config.ca_file}"
    else:
        known = "by a CA that this machine knows"
    lines = [
        f"The token {token.id} can be read; its secret is not shown.",
        f"  edge   {token.edge}",
        f"  known  {known}",
    ]
    if online is not None:
        lines.append(f"  asked  {online['message']}")
        urls = online["urls"]
        assert isinstance(urls, list)
        lines += [f"         {url}" for url in urls]
    return lines
