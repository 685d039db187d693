"""Addresses of the release and of unblinding."""

from django.urls import path

from readerstudy.blinding import views

app_name = "blinding"
urlpatterns = [
    path("studies/<uuid:study_id>/release", views.release, name="release"),
    path("studies/<uuid:study_id>/unblind", views.unblind, name="unblind"),
]
