"""Who the visitor is: its socket, a trusted proxy, a PROXY header."""
