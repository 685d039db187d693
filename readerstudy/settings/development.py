"""The embedded default: SQLite, a Valkey of our own, files in one state folder. Each can point to a real server."""

import os

from readerstudy.settings.base import *  # noqa: F403
from readerstudy.settings.base import database
from readerstudy.settings.state import broker_socket, local_secret, state_folder

STATE = state_folder()

DEBUG = False
SECRET_KEY = local_secret(STATE, "django")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *filter(None, os.environ.get("ALLOWED_HOSTS", "").split(","))]
DATABASES = {"default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{STATE / 'readerstudy.sqlite3'}")}
STORAGE_URL = os.environ.get("STORAGE_URL") or f"file://{STATE / 'storage'}"
UPLOAD_FOLDER = STATE / "uploads"
REDIS_URL = os.environ.get("REDIS_URL") or f"redis+socket://{broker_socket(STATE)}"
CELERY_BROKER_URL = REDIS_URL
WHITENOISE_USE_FINDERS = True
