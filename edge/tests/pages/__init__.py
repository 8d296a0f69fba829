"""Tests of what the edge shows to visitors."""
