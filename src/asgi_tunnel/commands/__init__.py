"""The commands of ``asgi-tunnel`` beside ``run``: one file each."""
