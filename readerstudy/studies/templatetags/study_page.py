"""What every study page shows: its tabs, where the study is in its life, and the next step."""

from typing import Any

from django import template

from readerstudy.studies import selectors
from readerstudy.studies.models import Membership, Study

register = template.Library()


@register.inclusion_tag("studies/tabs.html")
def study_tabs(study: Study, membership: Membership, tab: str) -> dict[str, Any]:
    """The navigation of a study for one role."""
    return {"tabs": selectors.tabs(study, membership), "current": tab}


@register.inclusion_tag("studies/life.html")
def study_life(study: Study, membership: Membership, tab: str = "") -> dict[str, Any]:
    """Draft to unblinded, and what this person does next."""
    return {"life": selectors.life(study), "step": selectors.next_step(study, membership, tab)}
