"""How connections come in: accepting, TLS, PROXY header."""
