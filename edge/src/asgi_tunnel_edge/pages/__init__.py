"""What the edge itself shows to visitors, as a page, as JSON or as plain text.

All pages are rendered once, when an edge starts (``template``, with the operator's ``brand`` and
the ``words`` of each reason), and cut where a request's own values stand. A reply only joins the
pieces (``rendering``): strangers decide how many there are.
"""

from __future__ import annotations

from .rendering import Pages
from .template import load_pages, page_files, plain_pages

__all__ = ["Pages", "load_pages", "page_files", "plain_pages"]
