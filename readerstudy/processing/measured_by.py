"""What measured a study's series: the networks' weights, thresholds and software, as each series' job told them."""

import json
from collections import Counter
from typing import Any

from readerstudy.processing.models import MeasuredSeries
from readerstudy.studies.models import Study

SOFTWARE = ("name", "version", "source_sha256")


def measured_by(study: Study) -> list[dict[str, Any]]:
    """All that differ, most series first: `series` (how many), `method`, `weights` (network to SHA-256), `thresholds`
    (network to probability) and `software` (name, version, SHA-256 of its sources).

    Of the current series that were measured, a failed one not. None where a job did not tell.
    """
    found: Counter[str] = Counter()
    measured = MeasuredSeries.objects.filter(series__study=study, series__is_current=True, fault_message="")
    for one in measured.select_related("series__job").defer("series__job__work_order", "series__files"):
        told = one.lineage or {}
        code = one.series.job.lineage.get("code") if told else None
        content = {
            "method": told.get("method"),
            "weights": told.get("weights"),
            "thresholds": told.get("thresholds"),
            "software": {name: code.get(name) for name in SOFTWARE} if code else None,
        }
        found[json.dumps(content, sort_keys=True)] += 1
    most_first = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [{"series": times, **json.loads(text)} for text, times in most_first]
