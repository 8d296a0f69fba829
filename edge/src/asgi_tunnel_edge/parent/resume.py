"""The new version of a parent: reads what the old one hands over, and goes on (:mod:`.renewal`).

``python -m asgi_tunnel_edge.parent.resume WORD DESCRIPTOR ARGUMENTS...``, with the arguments of
``run``. Only a parent calls it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from . import later
from .main import Parent

__all__ = ["main"]


def main(words: Sequence[str]) -> int:
    """Be the parent that an older one has become, or only see whether that is possible.

    Returns:
        The exit code: for a trial, 1 where this version cannot go on.
    """
    kind, number, *arguments = words
    handle = int(number)
    data = os.pread(handle, os.fstat(handle).st_size, 0)
    os.close(handle)
    document = later.understood(json.loads(data))
    if document is None:
        return 1
    return 0 if kind == later.TRIAL else Parent(arguments, document).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
