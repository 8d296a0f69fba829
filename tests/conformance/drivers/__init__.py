"""Plugins of pytest that put the app of a foreign test behind a real edge.

They run in ``build/conformance/venv``, where a foreign suite may own the package ``tests``: so the
folder above is on the path, and nothing here imports another folder of ours.
"""
