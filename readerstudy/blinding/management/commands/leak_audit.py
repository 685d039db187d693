"""`manage.py leak_audit STUDY`: does anything that readers receive differ between arms?"""

import json
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from readerstudy.blinding import leak_audit, services
from readerstudy.studies.models import Study


class Command(BaseCommand):
    """Exit code 0: nothing differs and every planted difference was found; 1: something is wrong, in one sentence."""

    help = "Compare everything served to readers over the arms of each subject and sequence, with a positive control."

    def add_arguments(self, parser: CommandParser) -> None:
        """The study, and how much to read."""
        parser.add_argument("study", help="the study's identifier or its exact name")
        parser.add_argument("--every-frame", action="store_true", help="ask for every frame, not only first and last")
        parser.add_argument("--json", action="store_true", help="print the certificate as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the audit, enter it into the trail, say what came out."""
        study = find_study(options["study"])
        result = leak_audit.audit(study, every_frame=options["every_frame"])
        services.record_leak_audit(study=study, actor=None, audit=result)
        if options["json"]:
            print(json.dumps({**asdict(result), "study": str(study.pk), "passed": result.passed}, indent=2))
        else:
            print(result.sentence)
            print(f"Certificate: {result.sha256}")
        if not result.passed:
            raise CommandError(" ".join(result.problems))


def find_study(text: str) -> Study:
    """A study by its identifier or its exact name. Raises CommandError."""
    try:
        studies = list(Study.objects.filter(pk=UUID(text)))
    except ValueError:
        studies = list(Study.objects.filter(name=text))
    if len(studies) != 1:
        many = "More than one study has" if studies else "No study has"
        raise CommandError(f"{many} this name or identifier. Give the identifier of one.")
    return studies[0]
