"""The only writers of logins. Which study a person belongs to is `studies`' matter, and so is the audit of it."""

import re
import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,59}")
UNMISTAKABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that are told apart when read aloud or copied by hand (no i, l, o, 0, 1)."""


def one_time_password() -> str:
    """A password to hand over once: four groups of four characters, about 79 random bits."""
    return "-".join("".join(secrets.choice(UNMISTAKABLE) for _ in range(4)) for _ in range(4))


@transaction.atomic
def create_user(
    *,
    username: str,
    password: str,
    display_name: str = "",
    may_create_studies: bool = False,
    must_change_password: bool = False,
) -> User:
    """Make a login. Refuses a name that is taken (whatever its case) or that has other than plain characters."""
    username = username.strip()
    if not USERNAME.fullmatch(username):
        raise Refusal(
            f"“{username}” cannot be a login name." if username else "The login name is missing.",
            "Use 2 to 60 letters, digits, dots, hyphens or underscores, such as j.lee.",
        )
    taken = Refusal(f"The login name {username} is taken.", "Choose another one.")
    if User.objects.filter(username__iexact=username).exists():
        raise taken
    user = User(
        username=username,
        display_name=kept_text(display_name),
        may_create_studies=may_create_studies,
        must_change_password=must_change_password,
    )
    user.set_password(password)
    try:
        with transaction.atomic():
            user.full_clean(exclude=["password"])
            user.save()
    except ValidationError as error:
        raise Refusal(" ".join(error.messages), "Correct it.") from error
    except IntegrityError as error:  # the same name came in at the same moment
        raise taken from error
    return user


@transaction.atomic
def change_own_password(*, user: User, current: str, new: str) -> User:
    """Set a person's own password. Refuses a wrong current one, the same one again, and weak ones in words."""
    held = User.objects.select_for_update().get(pk=user.pk)
    if not held.check_password(current):
        raise Refusal("The current password is not right.", "Enter the one you logged in with.")
    if current == new:
        raise Refusal("The new password is the current one.", "Choose another one.")
    try:
        validate_password(new, held)
    except ValidationError as error:
        raise Refusal(" ".join(error.messages), "Choose another password.") from error
    held.set_password(new)
    held.must_change_password = False
    held.save(update_fields=["password", "must_change_password"])
    return held


@transaction.atomic
def give_one_time_password(*, username: str) -> str:
    """A new one-time password for somebody who cannot log in any more; for whoever runs the server. Returns it."""
    user = User.objects.select_for_update().filter(username__iexact=username.strip()).first()
    if user is None:
        raise Refusal(f"Nobody has the login name “{username.strip()}”.", "Check the spelling.")
    password = one_time_password()
    user.set_password(password)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    return password
