"""Addresses of the results."""

from django.urls import path

from readerstudy.results import views

app_name = "results"
urlpatterns = [
    path("studies/<uuid:study_id>/results", views.results, name="results"),
    path("studies/<uuid:study_id>/results/<str:name>", views.download, name="download"),
]
