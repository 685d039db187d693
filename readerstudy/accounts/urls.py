"""Addresses of login and password."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from readerstudy.accounts import views

app_name = "accounts"
urlpatterns = [
    path(
        "login", LoginView.as_view(template_name="accounts/login.html", redirect_authenticated_user=True), name="login"
    ),
    path("logout", LogoutView.as_view(), name="logout"),
    path("password", views.password, name="password"),
]
