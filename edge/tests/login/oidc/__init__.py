"""Logins with a provider."""
