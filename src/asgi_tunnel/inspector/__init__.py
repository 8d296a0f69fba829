"""Records what an app is asked and what it replies, for the person who writes it."""
