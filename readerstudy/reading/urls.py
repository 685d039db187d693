"""Addresses of the reader's pages and API, and of the staff's progress page."""

from django.urls import path

from readerstudy.reading import api, views

app_name = "reading"
urlpatterns = [
    path("studies/<uuid:study_id>/start", views.start, name="start"),
    path("studies/<uuid:study_id>/read", views.read, name="read"),
    path("studies/<uuid:study_id>/readers", views.readers, name="readers"),
    path("studies/<uuid:study_id>/lock", views.lock, name="lock"),
    path("api/reading/<uuid:study_id>/study", api.StudyView.as_view(), name="api-study"),
    path("api/reading/<uuid:study_id>/sessions", api.SessionsView.as_view(), name="api-sessions"),
    path(
        "api/reading/<uuid:study_id>/presentations/<str:token>",
        api.PresentationView.as_view(),
        name="api-presentation",
    ),
    path(
        "api/reading/<uuid:study_id>/presentations/<str:token>/frames/<int:number>",
        api.FrameView.as_view(),
        name="api-frame",
    ),
    path("api/reading/<uuid:study_id>/presentations/<str:token>/open", api.OpenView.as_view(), name="api-open"),
    path("api/reading/<uuid:study_id>/presentations/<str:token>/grades", api.GradesView.as_view(), name="api-grades"),
    path(
        "api/reading/<uuid:study_id>/presentations/<str:token>/comment", api.CommentView.as_view(), name="api-comment"
    ),
    path(
        "api/reading/<uuid:study_id>/presentations/<str:token>/sign-off",
        api.SignOffView.as_view(),
        name="api-sign-off",
    ),
]
