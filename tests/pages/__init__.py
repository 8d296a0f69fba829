"""The edge's own pages in a real browser: `make pages`."""
