"""The admin's view of the entries: read, correct, delete."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from guestbook.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    """A list to look through and clean up. A picture goes with its entry and is not replaced."""

    list_display = ("name", "text", "picture_link", "created_at")
    list_filter = ("created_at",)
    search_fields = ("name", "text")
    fields = ("name", "text", "picture_link", "created_at")
    readonly_fields = ("picture_link", "created_at")

    @admin.display(description="picture", empty_value="none")
    def picture_link(self, entry: Entry) -> str | None:
        """Link to the view that serves it; the files have no URL of their own (no MEDIA_URL)."""
        if not entry.picture:
            return None
        address = reverse("guestbook:picture", args=(entry.pk,))
        link: str = format_html('<a href="{}">show</a>', address)
        return link
