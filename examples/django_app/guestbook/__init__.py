"""The guest book: entries with pictures, shown live."""
