"""The app's registration; connects the signals once the models are loaded."""

from django.apps import AppConfig


class GuestbookConfig(AppConfig):
    """Guest book."""

    name = "guestbook"
    verbose_name = "Guest book"

    def ready(self) -> None:
        """Connect the signal receivers, which register when their module is imported."""
        from guestbook import signals  # noqa: F401  (imported for its receivers)
