from django.urls import path

from readerstudy.processing import measurement_views, views

app_name = "processing"
urlpatterns = [
    path("studies/<uuid:study_id>/processing", views.page, name="page"),
    path("studies/<uuid:study_id>/processing/jobs/<uuid:job_id>/retry", views.retry, name="retry"),
    path("studies/<uuid:study_id>/processing/jobs/<uuid:job_id>/cancel", views.cancel, name="cancel"),
    path("studies/<uuid:study_id>/processing/files/<uuid:raw_file_id>/remove", views.remove_file, name="remove-file"),
    path("studies/<uuid:study_id>/processing/series/<uuid:series_id>/preview.png", views.preview, name="preview"),
    path("studies/<uuid:study_id>/processing/series/<uuid:series_id>/lineage", views.lineage, name="lineage"),
    path("studies/<uuid:study_id>/measurements", measurement_views.page, name="measurements"),
    path(
        "studies/<uuid:study_id>/measurements/<uuid:series_id>/overlay.png", measurement_views.overlay, name="overlay"
    ),
    path(
        "studies/<uuid:study_id>/measurements/<uuid:series_id>/<str:name>",
        measurement_views.dicom_object,
        name="dicom-object",
    ),
    path(
        "studies/<uuid:study_id>/measurements/structures/<int:structure_id>",
        measurement_views.correct,
        name="correct-structure",
    ),
    path(
        "studies/<uuid:study_id>/measurements/<uuid:subject_id>/<uuid:sequence_id>/shift",
        measurement_views.shift,
        name="shift-levels",
    ),
    path(
        "studies/<uuid:study_id>/measurements/<uuid:subject_id>/<uuid:sequence_id>/count",
        measurement_views.count,
        name="count",
    ),
    path("api/processing/<uuid:study_id>/status", views.status, name="status"),
]
