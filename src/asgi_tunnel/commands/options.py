"""What ``doctor``, ``token`` and ``url`` have in common: options, settings, what is printed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from ..config import TunnelConfig

__all__ = ["add_common_options", "load_config", "plain", "print_json", "why_unreached"]


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--env-file`` and ``--json``."""
    parser.add_argument(
        "--env-file", metavar="FILE", help="read variables from it; those that are set stay"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for a program")


def load_config(options: argparse.Namespace) -> TunnelConfig:
    """Return the settings of the app's side.

    Raises:
        ConfigError: There is no token, or a setting cannot be used.
    """
    from ..config import TOKEN, TunnelConfig
    from ..env_file import load_env_file
    from ..errors import ConfigError

    if options.env_file:
        load_env_file(Path(options.env_file), os.environ)
    config = TunnelConfig.from_env()
    if config is None:
        fix = "create a token on the edge with `asgi-tunnel-edge token create`, and set it"
        raise ConfigError(TOKEN, "is not set", fix)
    return config


def print_json(document: object) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2))


def plain(text: str) -> str:
    """Return what a stranger has said, without what moves a terminal's cursor."""
    return "".join(one if one.isprintable() else "?" for one in text)


def why_unreached(error: BaseException) -> str:
    """Return why an edge was not reached, or refused, in one sentence."""
    if isinstance(error, TimeoutError):
        return "the edge did not reply in time; is it running, and does the way there let it?"
    return str(error) or type(error).__name__
