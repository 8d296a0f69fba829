"""Real programs, each doing its work through a tunnel and on uvicorn: `make realapps`."""
