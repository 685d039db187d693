"""Addresses of the study pages."""

from django.urls import path

from readerstudy.studies import views

app_name = "studies"
urlpatterns = [
    path("", views.index, name="index"),
]
