"""Home Cloud: one folder of yours as a web page, served from behind NAT by asgi-tunnel."""
