"""`manage.py analyse SCORES.csv OUT [--plan P.json] [--measurements M.csv]`: result tables, without any database."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from readerstudy.results.files import result_files, write_files
from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.measurements import analyse_measurements, read_measurements
from readerstudy.statistics.plan import AnalysisPlan, read_plan
from readerstudy.statistics.scores import read_scores

INPUT_AT_FAULT = 1


class Command(BaseCommand):
    """Exit code 0 done, 1 the input is at fault (one sentence on standard error), 2 wrong usage."""

    help = (
        "Compute tables 3, 4 and 5 (means, noninferiority, agreement) from a score table, and table 6 from "
        "measurements (docs/statistics.md)."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "scores",
            metavar="SCORES.csv",
            type=Path,
            help="columns sequence, arm, patient, reader, category, score (empty = not rated)",
        )
        parser.add_argument(
            "out", metavar="OUT", type=Path, help="folder for results.json and the tables as CSV"
        )
        parser.add_argument(
            "--plan", metavar="PLAN.json", type=Path, help="analysis plan; without it, the settings of the paper"
        )
        parser.add_argument(
            "--measurements",
            metavar="M.csv",
            type=Path,
            help="CSV with the columns quantity, arm, patient, level, value and, where several are measured, sequence: "
            "table 6, matched in all arms",
        )

    def handle(
        self, *, scores: Path, out: Path, plan: Path | None, measurements: Path | None, **options: Any
    ) -> None:
        try:
            chosen_plan = AnalysisPlan() if plan is None else read_plan(plan)
            results = analyse(read_scores(scores), chosen_plan)
            measured: dict[str, Any] = {"table6": [], "table6a": [], "measurements_reason": None}
            if measurements is not None:
                measured = analyse_measurements(read_measurements(measurements), chosen_plan.reference_arm)
            texts = result_files({**results, **measured})
        except AnalysisFault as fault:
            self._fail(str(fault))
        try:
            write_files(out, texts)
        except OSError as error:
            self._fail(f"{out} cannot be written: {error.strerror or error}. Choose another folder.")
        if measured["measurements_reason"]:
            self.stderr.write(f"Left out of table 6: {measured['measurements_reason']}")
        self.stdout.write(f"Written to {out}: {', '.join(texts)}.")

    def _fail(self, sentence: str) -> None:
        self.stderr.write(sentence)
        raise SystemExit(INPUT_AT_FAULT)
