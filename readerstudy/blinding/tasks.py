"""The release as a light task."""

from celery import shared_task

from readerstudy.accounts.models import User
from readerstudy.blinding import services
from readerstudy.blinding.models import ReleasePreparation
from readerstudy.faults import Refusal
from readerstudy.studies.models import Study


@shared_task(name="blinding.release")
def release(*, study: str, actor: int) -> None:
    """Release a study; a refusal is kept for the coordinator's page. A second delivery of the task changes nothing."""
    row = Study.objects.get(pk=study)
    if row.state != Study.State.PREPARING:
        return
    try:
        services.release(study=row, actor=User.objects.get(pk=actor))
    except Refusal as refusal:
        preparation = ReleasePreparation.objects.filter(study=row, problems=[])
        preparation.update(problems=[str(refusal)])
