from django.urls import path

from readerstudy.intake import views

app_name = "intake"
urlpatterns = [
    path("api/uploads/", views.Uploads.as_view(), name="uploads"),
    path("api/uploads/<uuid:upload_id>", views.OneUpload.as_view(), name="upload"),
]
