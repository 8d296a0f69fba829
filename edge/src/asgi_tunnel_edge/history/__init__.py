"""Numbers over time for each registered hostname: counted, kept for two months, and asked for.

Off unless there is a dashboard. :mod:`.counter` hears of each exchange, :mod:`.file` keeps rows in
a SQLite file, and :mod:`.book` joins the two.
"""

from .book import History

__all__ = ["History"]
