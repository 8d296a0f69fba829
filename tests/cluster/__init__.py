"""Several edges as one: real processes on a network of their own, faults, and what visitors saw.

`make cluster` runs it; :mod:`.__main__` says how. Nothing here runs in `make test`.
"""
