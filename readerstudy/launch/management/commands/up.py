"""`manage.py up`: the whole application on this machine."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from readerstudy.faults import Refusal
from readerstudy.launch import application
from readerstudy.launch.supervisor import Supervisor


class Command(BaseCommand):
    help = (
        "Start the whole application (queue, workers, web server) and keep it running until Ctrl-C. REDIS_URL, "
        "DATABASE_URL and STORAGE_URL name real servers; without them everything lives in the state folder."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=application.DEFAULT_PORT, help="port (default 8000)")

    def say(self, sentence: str) -> None:
        """One line on the terminal."""
        self.stdout.write(f"  {sentence}")
        self.stdout.flush()

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]

        def when_ready(supervisor: Supervisor) -> None:
            self.stdout.write(f"\nReader study runs at {application.address(host, port)}  (Ctrl-C stops it)\n")
            self.stdout.flush()

        try:
            application.run(host=host, port=port, say=self.say, when_ready=when_ready)
        except Refusal as refusal:
            raise CommandError(str(refusal), returncode=1) from refusal
