"""HTTP/1.1 of visitors: bytes in, exchanges out, responses back."""
