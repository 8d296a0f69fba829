"""Load drivers: each is a process of its own that prints its figures as JSON."""
