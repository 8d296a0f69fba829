"""What is written down about exchanges: the access log."""
