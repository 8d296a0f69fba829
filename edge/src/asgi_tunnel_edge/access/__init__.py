"""Doors in front of apps: who may come in, and who it is.

Pure decisions on what the store and ``edge.toml`` say; ``login`` has the pages that visitors see.
"""
