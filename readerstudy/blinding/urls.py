from django.urls import URLPattern

app_name = "blinding"
urlpatterns: list[URLPattern] = []
