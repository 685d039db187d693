"""The only writers of jobs and series."""

from readerstudy.processing.services.counts import confirm_count, doubt_count, shift_levels
from readerstudy.processing.services.events import record
from readerstudy.processing.services.jobs import (
    cancel,
    follow_design,
    retry,
    start_acquisition_job,
    start_finishing_job,
)
from readerstudy.processing.services.measurements import (
    correct_level,
    exclude_structure,
    include_structure,
)
from readerstudy.processing.services.recovery import reconcile, remove_leftovers
from readerstudy.processing.services.removal import remove_file

__all__ = [
    "cancel",
    "confirm_count",
    "correct_level",
    "doubt_count",
    "exclude_structure",
    "follow_design",
    "include_structure",
    "reconcile",
    "record",
    "remove_file",
    "remove_leftovers",
    "retry",
    "shift_levels",
    "start_acquisition_job",
    "start_finishing_job",
]
