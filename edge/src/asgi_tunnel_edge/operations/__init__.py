"""What commands, the dashboard and the API do: one function for each thing that can be done.

Plain functions without a command line or a request: they take the settings and records, return
records, and raise an EdgeError with one sentence. They block for some milliseconds (SQLite): an
event loop calls them in a thread. Who may do what is decided in :mod:`.scope`, before them.

What a program is given of something is a ``...View``: the same fields in the JSON of commands and
of the API.
"""
