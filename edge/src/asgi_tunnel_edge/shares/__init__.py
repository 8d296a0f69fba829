"""What one group, of addresses or of a token, may take of what all of them share."""
