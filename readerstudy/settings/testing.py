"""For the tests: everything in a temporary folder, tasks run at once in the same process."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from readerstudy.settings.base import *  # noqa: F403
from readerstudy.settings.base import database

if told := os.environ.get("READERSTUDY_TEST_STATE"):
    STATE = Path(told)
else:
    STATE = Path(tempfile.mkdtemp(prefix="readerstudy-test-"))
    atexit.register(shutil.rmtree, STATE, ignore_errors=True)

DEBUG = False
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
# A file, not memory: the live-server tests and the light worker's threads share it.
DATABASES = {"default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{STATE / 'test.sqlite3'}")}
DATABASES["default"]["TEST"] = {"NAME": None if os.environ.get("DATABASE_URL") else str(STATE / "test.sqlite3")}
STORAGE_URL = os.environ.get("STORAGE_URL") or f"file://{STATE / 'storage'}"
UPLOAD_FOLDER = STATE / "uploads"
REDIS_URL = "memory://"
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
CELERY_BROKER_TRANSPORT_OPTIONS = {}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
