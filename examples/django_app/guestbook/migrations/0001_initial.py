"""The first table: entries."""

from typing import ClassVar

from django.db import migrations, models

import guestbook.models
import guestbook.pictures


class Migration(migrations.Migration):
    """Create the table of entries."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                ("text", models.TextField(max_length=1000)),
                (
                    "picture",
                    models.FileField(
                        blank=True,
                        max_length=64,
                        upload_to=guestbook.models.picture_name,
                        validators=[guestbook.pictures.validate_picture],
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"verbose_name_plural": "entries", "ordering": ("-pk",)},
        ),
    ]
