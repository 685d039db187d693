"""Production: every value from the environment; a missing one stops the start with its name."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from readerstudy.settings.base import *  # noqa: F403
from readerstudy.settings.base import database


def required(name: str) -> str:
    """The value of an environment variable that has no safe default."""
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"Set the environment variable {name} (see docs/deployment.md).")
    return value


DEBUG = False
SECRET_KEY = required("SECRET_KEY")
ALLOWED_HOSTS = required("ALLOWED_HOSTS").split(",")
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS]
DATABASES = {"default": database(required("DATABASE_URL"))}
STORAGE_URL = required("STORAGE_URL")
STATE = Path(required("READERSTUDY_STATE"))
UPLOAD_FOLDER = STATE / "uploads"
REDIS_URL = required("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL
STATIC_ROOT = STATE / "static"

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^health$"]
SECURE_HSTS_SECONDS = 31536000
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
