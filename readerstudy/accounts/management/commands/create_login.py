"""`manage.py create_login`: the first login of an installation, and any later one."""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand

from readerstudy.accounts.services import create_user, give_one_time_password, one_time_password
from readerstudy.faults import Refusal


class Command(BaseCommand):
    """Prints the one-time password. Exit code 1 with one sentence when the name is taken, wrong or unknown."""

    help = "Make a login and print its one-time password; with --new-password, give an existing login a new one."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The login name, how it is shown, and its one right outside studies."""
        parser.add_argument("username", help="login name, such as c.reyes")
        parser.add_argument("--name", default="", help="shown to others, such as 'Carla Reyes'")
        parser.add_argument("--may-create-studies", action="store_true", help="for coordinators")
        parser.add_argument("--new-password", action="store_true", help="the login exists; give it a new password")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the login, or the new password."""
        try:
            if options["new_password"]:
                password = give_one_time_password(username=options["username"])
            else:
                password = one_time_password()
                create_user(
                    username=options["username"],
                    display_name=options["name"],
                    password=password,
                    may_create_studies=options["may_create_studies"],
                    must_change_password=True,
                )
        except Refusal as refusal:
            self.stderr.write(str(refusal))
            sys.exit(1)
        self.stdout.write(f"{options['username']}  one-time password: {password}")
