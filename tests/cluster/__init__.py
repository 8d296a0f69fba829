"""Several edges as one: real processes on a network of their own, faults, and what visitors saw.

`make cluster` runs it; :mod:`.__main__` says how. Only the tests of the
counting run in `make test`.
"""
