"""Attacks on what all share, with good visitors and another tenant beside them (T63 on)."""
