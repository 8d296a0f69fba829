"""Who is told of exchanges: the access log."""
