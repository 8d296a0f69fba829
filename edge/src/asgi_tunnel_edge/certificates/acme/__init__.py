"""Certificates from an ACME CA (RFC 8555), ordered and renewed by the edge itself."""
