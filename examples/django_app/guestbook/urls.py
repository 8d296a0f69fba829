"""URLs of the guest book."""

from django.urls import path

from guestbook import views

app_name = "guestbook"
urlpatterns = [
    path("", views.index, name="index"),
    path("stats", views.stats, name="stats"),
    path("events", views.events, name="events"),
    path("picture/<int:entry_id>", views.picture, name="picture"),
    path("whoami", views.whoami, name="whoami"),
]
