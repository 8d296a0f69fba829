"""The pages of the dashboard: each module here that has a ``PAGE`` is one.

They are found by looking, so that a new page is a module and nothing more.
"""

from __future__ import annotations

import importlib
import pkgutil

from ..page import Page

__all__ = ["find_pages"]


def find_pages() -> list[Page]:
    """Return all pages, in the order of the navigation."""
    found: list[Page] = []
    for module in pkgutil.iter_modules(__path__):
        page = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PAGE", None)
        if isinstance(page, Page):
            found.append(page)
    return sorted(found, key=lambda one: (one.order, one.name))
