"""The edge's public side: what strangers send, read strictly and bounded in everything."""
