"""One file for each program: its app, and what visitors do with it."""
