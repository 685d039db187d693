from django.apps import AppConfig


class BlindingConfig(AppConfig):
    name = "readerstudy.blinding"
    default_auto_field = "django.db.models.BigAutoField"
