"""Addresses of the study pages."""

from django.urls import path

from readerstudy.studies import arms_view, views

app_name = "studies"
urlpatterns = [
    path("", views.index, name="index"),
    path("studies/new", views.new, name="new"),
    path("studies/<uuid:study_id>/", views.design, name="design"),
    path("studies/<uuid:study_id>/subjects", views.add_subjects, name="add-subjects"),
    path("studies/<uuid:study_id>/subjects/<uuid:subject_id>/remove", views.remove_subject, name="remove-subject"),
    path("studies/<uuid:study_id>/begin-preparing", views.begin_preparing, name="begin-preparing"),
    path("studies/<uuid:study_id>/criteria", views.criteria, name="criteria"),
    path("studies/<uuid:study_id>/settings", views.settings, name="settings"),
    path("studies/<uuid:study_id>/arms", arms_view.arms, name="arms"),
    path("studies/<uuid:study_id>/people", views.people, name="people"),
    path("studies/<uuid:study_id>/people/add", views.add_person, name="add-person"),
    path("studies/<uuid:study_id>/people/create", views.create_login, name="create-login"),
    path("studies/<uuid:study_id>/people/<int:membership_id>/remove", views.remove_person, name="remove-person"),
]
