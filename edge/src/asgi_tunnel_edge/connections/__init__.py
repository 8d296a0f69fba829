"""Who is connected, and how much memory all of them hold."""
