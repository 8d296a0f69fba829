"""The one table: an entry of the guest book."""

from uuid import uuid4

from django.db import models

from guestbook.pictures import validate_picture


def picture_name(entry: "Entry", filename: str) -> str:
    """Return a random stored name: nothing of the visitor's file name reaches the disk."""
    return uuid4().hex


class Entry(models.Model):
    """What one visitor wrote, with or without a picture."""

    name = models.CharField(max_length=60)  # characters
    text = models.TextField(max_length=1000)  # characters
    picture = models.FileField(
        upload_to=picture_name, validators=[validate_picture], blank=True, max_length=64
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first; the primary key grows with time."""

        ordering = ("-pk",)
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        """Return a line for the admin."""
        return f"{self.name}: {self.text[:40]}"

    @property
    def initial(self) -> str:
        """First letter of the name, for the round badge."""
        return str(self.name)[:1].upper()

    @property
    def hue(self) -> int:
        """Colour of the badge, 0 <= hue < 360 degrees, the same for the same name."""
        return sum(ord(letter) * 37 for letter in str(self.name).casefold()) % 360
