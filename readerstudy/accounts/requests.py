"""A request behind `login_required`: its user is a person."""

from django.http import HttpRequest

from readerstudy.accounts.models import User


class PersonRequest(HttpRequest):
    """What a view gets once somebody is logged in. A type for views; nothing makes objects of it."""

    user: User
