"""The inspector: what passed through the tunnel, for the developer of the app.

The app's side records, and nothing of it leaves this process but by two doors: requests of the
edge's pages (docs/protocol.md section 5.3), and a Unix socket of the user's own.
"""
