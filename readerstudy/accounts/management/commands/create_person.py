"""`manage.py create_person NAME`: a login with a one-time password, for the first person of an installation."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from readerstudy.accounts import services
from readerstudy.faults import Refusal


class Command(BaseCommand):
    help = "Make a login and print its one-time password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="login name")
        parser.add_argument("--display-name", default="", help="how the person is called on pages")
        parser.add_argument("--may-create-studies", action="store_true", help="let the person create studies")

    def handle(self, *args: Any, **options: Any) -> None:
        password = services.one_time_password()
        try:
            services.create_user(
                username=options["name"],
                password=password,
                display_name=options["display_name"],
                may_create_studies=options["may_create_studies"],
                must_change_password=True,
            )
        except Refusal as refusal:
            raise CommandError(str(refusal), returncode=1) from refusal
        self.stdout.write(f"{options['name']} can log in with the one-time password {password}")
