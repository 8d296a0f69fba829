"""What frameworks expect of a package that is made for them; the rest imports nothing of it."""
