"""The edge's certificates and where they come from."""
