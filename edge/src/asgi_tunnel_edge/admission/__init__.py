"""How tunnels come in: token, HELLO, WELCOME, resumption."""
