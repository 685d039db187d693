"""`manage.py demo`: the whole application with two demonstration studies in it."""

from typing import Any

from django.core.management.base import CommandError
from django.db import connection

from readerstudy.faults import Refusal
from readerstudy.launch import application, demonstration
from readerstudy.launch.management.commands.up import Command as Up
from readerstudy.launch.supervisor import Supervisor

TRY = """
Reader study runs at {address}   (Ctrl-C stops it)

  log in as       password             and try
  reader1         reader1-demo         Continue, then wheel, digits 1-5, Enter: a series is graded in six keys
  coordinator     coordinator-demo     Processing: each raw file, its stage and its pictures
  investigator    investigator-demo    Readers: progress without grades; Results of the study with simulated grades
  reader2, reader3 have passwords of the same form.

"{study}": {subjects} simulated subjects, reconstructed here from raw k-space, waiting for its readers.
"{simulated}": its grades come from simulated readers; they show the tables and are no result.
"""


class Command(Up):
    help = (
        "Start the whole application with two demonstration studies; the first start fills them, later ones find them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        address = application.address(host, port)

        def when_ready(supervisor: Supervisor) -> None:
            def keep_going() -> bool:
                supervisor.revive()
                return not supervisor.stopping

            people = demonstration.make_people()
            first = demonstration.fill_first_study(people, address, self.say, keep_going)
            if first is not None and keep_going():
                demonstration.fill_simulated_study(people, first, self.say, keep_going)
            connection.close()
            if keep_going():
                self.stdout.write(
                    TRY.format(
                        address=address,
                        study=demonstration.STUDY,
                        subjects=demonstration.SUBJECTS,
                        simulated=demonstration.SIMULATED_STUDY,
                    )
                )
                self.stdout.flush()

        try:
            application.run(host=host, port=port, say=self.say, when_ready=when_ready)
        except Refusal as refusal:
            raise CommandError(str(refusal), returncode=1) from refusal
