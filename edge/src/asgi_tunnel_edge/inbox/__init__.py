"""The inbox: requests to routes that an app has marked are kept while the app is away.

``service`` composes it and is what ``server`` and ``dispatch`` hold. ``exchange`` is a visitor's
request, ``lane`` what is delivered one after the other, ``delivery`` one request on its way to an
app, ``book`` what these share, ``journal`` the thread that writes. What is in the file is left to
``storage.inbox``.
"""

from __future__ import annotations
