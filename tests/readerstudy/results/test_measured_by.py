"""Results name the networks, thresholds and software that measured each series."""

import re

import pytest

from readerstudy.processing.models import Job
from readerstudy.results import services
from tests.readerstudy.results.measured_study import page_of, structure

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("front_end")]

LINEAGE = {"method": "two networks", "thresholds": {"discs": 0.45, "bodies": 0.5}}
CODE = {"name": "recon_worker", "version": "0.1.0", "source_sha256": "c" * 64}


def test_results_name_what_measured(measured, client):
    """Two series of P02 by other networks than the rest; of P03 nothing is told."""
    assert services.compute_results(study=measured.study).content["measured_by"] == [
        {"series": 18, "method": None, "weights": None, "thresholds": None, "software": None}
    ]
    assert 'id="measured-by"' not in page_of(measured, client)
    first, second = ({"discs": one * 64, "bodies": one * 64} for one in "ab")
    arms = [str(arm.pk) for arm in measured.study.arms.order_by("-order")]  # not in the order of the study
    for job in Job.objects.filter(study=measured.study).exclude(subject__code="P03").select_related("subject"):
        of_arms = [second, second, first] if job.subject.code == "P02" else [first] * 3
        told = [{**LINEAGE, "weights": weights} for weights in of_arms]
        job.arms, job.lineage = arms, {"code": CODE, "parameters": {"measurements": told}}
        job.save()
    other = structure(measured, "Fast DL50", 1).measured
    assert (other.lineage["weights"], structure(measured, "Standard", 1).measured.lineage["weights"]) == (second, first)
    structure(measured, "Fast", 1).delete()  # another state of the measurements: results are computed once for each
    content = services.compute_results(study=measured.study).content
    assert [(one["series"], one["weights"]) for one in content["measured_by"]] == [(13, first), (3, None), (2, second)]
    assert content["measured_by"][0]["software"] == CODE
    assert content["measured_by"][0]["thresholds"] == LINEAGE["thresholds"]
    text = page_of(measured, client)
    line = re.search(r'id="measured-by">(.*?)</p>', text)[1]
    code = "recon_worker 0.1.0 (sources cccccccccccc…)"
    of_first, of_second = (f"discs {one * 12}… (threshold 0.45) and bodies {one * 12}… (threshold 0.5)" for one in "ab")
    assert line == (
        f"Measured: 13 series by the networks {of_first}, {code}; 2 series by the networks {of_second}, {code}; "
        "of 3 series it is not told."
    )


def test_a_series_whose_measurement_failed_is_in_no_count(measured):
    failed = structure(measured, "Fast", 1).measured
    failed.fault_message, failed.fault_action = "No lumbar spine was found in the series.", "Measure it by hand."
    failed.save()
    failed.structures.all().delete()
    content = services.compute_results(study=measured.study).content
    assert [one["series"] for one in content["measured_by"]] == [17]
