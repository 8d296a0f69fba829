"""Alerts: what is said of what is wrong, when, and how it reaches a webhook."""
