"""What all surroundings share. https://docs.djangoproject.com/en/5.2/ref/settings/"""

import os
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from readerstudy.settings.state import BASE_DIR

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "csp",
    "readerstudy.accounts",
    "readerstudy.audit",
    "readerstudy.studies",
    "readerstudy.intake",
    "readerstudy.processing",
    "readerstudy.reading",
    "readerstudy.blinding",
    "readerstudy.results",
    "readerstudy.launch",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "readerstudy.accounts.middleware.own_password_first",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# No GZipMiddleware and no ConditionalGetMiddleware, ever: the compressed length of a frame and an ETag made from its
# content tell the noise level, and so the arm (docs/blinding.md).

ROOT_URLCONF = "readerstudy.urls"
WSGI_APPLICATION = "readerstudy.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "studies:index"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "readerstudy" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"island": "readerstudy.templatetags.island"},
        },
    }
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
FRONTEND_BUILD = BASE_DIR / "frontend" / "dist"
STATICFILES_DIRS = [BASE_DIR / "readerstudy" / "static"] + ([FRONTEND_BUILD] if FRONTEND_BUILD.exists() else [])
WHITENOISE_KEEP_ONLY_HASHED_FILES = False


def whitenoise_immutable(path: str, url: str) -> bool:
    """Vite hashes the names of what it builds; those files never change under their name."""
    return "/assets/" in url


WHITENOISE_IMMUTABLE_FILE_TEST = whitenoise_immutable


def database(url: str) -> dict[str, Any]:
    """One database configuration; SQLite gets what keeps four writing processes free of "database is locked".

    WAL alone is worse than the default: it is the upgrade from reading to writing that fails at once, so every
    transaction begins IMMEDIATE.
    """
    try:
        configuration: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60))
    except ValueError as error:
        raise ImproperlyConfigured(
            "DATABASE_URL is no address of a database. Write postgresql://user:password@host:5432/name or sqlite:///path."
        ) from error
    if configuration["ENGINE"].endswith("sqlite3"):
        configuration["OPTIONS"] = {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
    return configuration


REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "readerstudy.api_faults.answer",
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", "'unsafe-inline'"],  # cornerstone and Vega set style attributes on their elements
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "worker-src": ["'self'", "blob:"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# Celery. One number sets all clocks: a task longer than the visibility timeout would run twice.
TASK_TIME_LIMIT_SECONDS = int(os.environ.get("READERSTUDY_TASK_TIME_LIMIT", "7200"))
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "light"
CELERY_TASK_QUEUES = [Queue("light"), Queue("recon")]
CELERY_TASK_ROUTES = {"recon_worker.*": {"queue": "recon"}}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": int(1.1 * TASK_TIME_LIMIT_SECONDS),
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
}
CELERY_BEAT_SCHEDULE = {
    "reconcile-jobs": {"task": "processing.reconcile", "schedule": 15.0},
    "expire-uploads": {"task": "intake.expire_uploads", "schedule": 3600.0},
}

# Intake
UPLOAD_LIMIT_BYTES = int(os.environ.get("READERSTUDY_UPLOAD_LIMIT_BYTES", str(64 * 1024**3)))
UPLOAD_EXPIRY_HOURS = 48
# Django itself never holds an upload in memory: PATCH bodies are streamed by the tus endpoint.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024**2

# Processing
JOB_HEARTBEAT_TIMEOUT_SECONDS = int(os.environ.get("READERSTUDY_HEARTBEAT_TIMEOUT", "60"))
JOB_MOST_ATTEMPTS = 3

SPECTACULAR_SETTINGS = {"TITLE": "Reader study", "VERSION": "1", "SERVE_INCLUDE_SCHEMA": False}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
