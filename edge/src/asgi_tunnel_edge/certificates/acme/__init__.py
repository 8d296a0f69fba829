"""Certificates from a CA that speaks ACME (RFC 8555)."""
