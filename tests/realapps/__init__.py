"""Real programs, each doing its work through a tunnel and without one: `make realapps`."""
