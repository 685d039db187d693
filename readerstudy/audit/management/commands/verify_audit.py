"""`manage.py verify_audit`: is every audit chain whole?"""

import argparse
import re
import sys
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from readerstudy.audit.services import chains, contains


def noted_head(text: str) -> tuple[UUID, str]:
    """STUDY:HASH as printed by an earlier run."""
    study, _, head = text.partition(":")
    try:
        if re.fullmatch(r"[0-9a-f]{64}", head):
            return UUID(study), head
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not STUDY:HASH as this command prints it.")


class Command(BaseCommand):
    """Exit code 0: every chain is whole; 1: one is not, with a sentence for each; 2: wrong usage."""

    help = "Check the hash chain of every study's audit trail."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """One option: heads noted earlier."""
        parser.add_argument(
            "--noted",
            metavar="STUDY:HASH",
            type=noted_head,
            nargs="+",
            default=[],
            help="heads that an earlier run printed; each must still be in its chain",
        )

    def handle(self, *args: Any, noted: list[tuple[UUID, str]], **options: Any) -> None:
        """Print one line a chain; exit 1 when a link is broken or a noted head is gone."""
        faults = []
        for chain in chains():
            if chain.first_broken is None:
                links = "1 link" if chain.links == 1 else f"{chain.links} links"
                self.stdout.write(f"{chain.study}:{chain.head}  whole, {links}")
            else:
                faults.append(
                    f"The audit chain of study {chain.study} is broken at link {chain.first_broken}: "
                    "that link or one before it was changed, removed or added outside the application."
                )
        for study, head in noted:
            if not contains(study, head):
                faults.append(
                    f"The audit chain of study {study} no longer holds the link {head[:12]}…: it was cut or replaced."
                )
        for fault in faults:
            self.stderr.write(fault)
        if faults:
            sys.exit(1)
