"""`manage.py new_password NAME`: a new one-time password for somebody who has lost theirs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from readerstudy.accounts.services import give_one_time_password
from readerstudy.faults import Refusal


class Command(BaseCommand):
    """Exit code 1 with one sentence when nobody has this login name."""

    help = "Give a login a new one-time password and print it; the earlier one no longer works."

    def add_arguments(self, parser: CommandParser) -> None:
        """The login name."""
        parser.add_argument("name", help="login name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set and print it."""
        try:
            password = give_one_time_password(username=options["name"])
        except Refusal as refusal:
            raise CommandError(str(refusal), returncode=1) from refusal
        self.stdout.write(f"{options['name']} can log in with the one-time password {password}")
