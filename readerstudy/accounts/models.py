"""Who a person is. What a person may do is a matter of each study (studies.Membership)."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person with a login. `may_create_studies` is the only right that is not a study's."""

    display_name = models.CharField(max_length=120, blank=True)
    may_create_studies = models.BooleanField(default=False)
    must_change_password = models.BooleanField(
        default=False, help_text="The password was handed over by somebody else; its owner chooses a new one first."
    )

    class Meta:
        ordering = ["username"]

    def __str__(self) -> str:
        return self.display_name or self.username
