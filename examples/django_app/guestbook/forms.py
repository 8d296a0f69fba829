"""The form a visitor fills in."""

from typing import ClassVar

from django import forms

from guestbook.models import Entry
from guestbook.pictures import PICTURE_TYPES


class EntryForm(forms.ModelForm):
    """Name, text and an optional picture; limits come from the model."""

    class Meta:
        """Fields and the hints a phone's keyboard uses."""

        model = Entry
        fields = ("name", "text", "picture")
        widgets: ClassVar = {
            "name": forms.TextInput(attrs={"autocomplete": "name", "placeholder": "Your name"}),
            "text": forms.Textarea(attrs={"rows": 3, "placeholder": "Say hello…"}),
            "picture": forms.FileInput(attrs={"accept": ",".join(PICTURE_TYPES)}),
        }
