"""What follows from a saved or deleted entry, whether on the page, in the admin or in a shell."""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from guestbook.live import bell
from guestbook.models import Entry


@receiver(post_save, sender=Entry)
def announce(sender: type[Entry], **kwargs: Any) -> None:
    """Wake the open event streams, once the entry can be read by others."""
    transaction.on_commit(bell.ring)


@receiver(post_delete, sender=Entry)
def remove_picture(sender: type[Entry], instance: Entry, **kwargs: Any) -> None:
    """Delete the file of a deleted entry."""
    if instance.picture:
        transaction.on_commit(partial(instance.picture.delete, save=False))
