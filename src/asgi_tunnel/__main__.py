"""``python -m asgi_tunnel`` is the command ``asgi-tunnel``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
