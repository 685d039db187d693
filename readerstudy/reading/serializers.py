"""What the reader's API takes and gives, field by field. Whatever is not named here is neither read nor sent."""

import json
from typing import Any

from rest_framework import serializers

from readerstudy.reading.models import Grade
from readerstudy.reading.services import LONGEST_COMMENT

LONGEST_DISPLAY = 4000


class CriterionAnswer(serializers.Serializer[Any]):
    """A criterion, its scale and its written anchors."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    minimum = serializers.IntegerField()
    maximum = serializers.IntegerField()
    anchors = serializers.DictField(child=serializers.CharField())


class KeyAnswer(serializers.Serializer[Any]):
    """Keys and what they do."""

    keys = serializers.ListField(child=serializers.CharField())
    does = serializers.CharField()


class RulesAnswer(serializers.Serializer[Any]):
    """What the study allows its readers."""

    allow_back = serializers.BooleanField()


class SequenceAnswer(serializers.Serializer[Any]):
    """How much of a sequence is done."""

    name = serializers.CharField()
    length = serializers.IntegerField()
    signed_off = serializers.IntegerField()


class ListedPresentationAnswer(serializers.Serializer[Any]):
    """One place of the reader's list."""

    token = serializers.CharField()
    position = serializers.IntegerField()
    sequence = serializers.CharField()
    signed_off = serializers.BooleanField()


class StudyAnswer(serializers.Serializer[Any]):
    """What the reading page knows of the study."""

    study = serializers.CharField()
    criteria = CriterionAnswer(many=True)
    keys = serializers.DictField(child=KeyAnswer())
    rules = RulesAnswer()
    length = serializers.IntegerField()
    sequences = SequenceAnswer(many=True)
    presentations = ListedPresentationAnswer(many=True)
    seconds_per_series = serializers.IntegerField(allow_null=True)


class EdgesAnswer(serializers.Serializer[Any]):
    """Edge letters of the images."""

    left = serializers.CharField()
    right = serializers.CharField()
    top = serializers.CharField()
    bottom = serializers.CharField()


class GivenGradeAnswer(serializers.Serializer[Any]):
    """A grade already given: a value, or the cause why not."""

    value = serializers.IntegerField(allow_null=True)
    cannot_grade = serializers.CharField(allow_blank=True)


class PresentationAnswer(serializers.Serializer[Any]):
    """What the reading page knows of one presentation."""

    token = serializers.CharField()
    rows = serializers.IntegerField()
    columns = serializers.IntegerField()
    slices = serializers.IntegerField()
    spacing_mm = serializers.ListField(child=serializers.FloatField())
    window = serializers.ListField(child=serializers.FloatField())
    edges = EdgesAnswer()
    sequence = serializers.CharField()
    position = serializers.IntegerField()
    length = serializers.IntegerField()
    grades = serializers.DictField(child=GivenGradeAnswer())
    comment = serializers.CharField(allow_blank=True)
    signed_off = serializers.BooleanField()


class SavedAnswer(serializers.Serializer[Any]):
    """It is stored."""

    saved = serializers.BooleanField()


class NextAnswer(serializers.Serializer[Any]):
    """The next series to read, null at the end."""

    next = serializers.CharField(allow_null=True)


class GradeRequest(serializers.Serializer[Any]):
    """One answer to one criterion; `id` is made by the browser, so that sending twice adds once."""

    id = serializers.UUIDField()
    criterion = serializers.UUIDField()
    value = serializers.IntegerField(allow_null=True, min_value=-32768, max_value=32767, default=None)
    cannot_grade = serializers.ChoiceField(choices=["", *Grade.Cause.values], default="")
    reason = serializers.CharField(allow_blank=True, max_length=1000, default="")


class CommentRequest(serializers.Serializer[Any]):
    """A free remark; an empty one takes it back."""

    text = serializers.CharField(allow_blank=True, max_length=LONGEST_COMMENT)


class SessionRequest(serializers.Serializer[Any]):
    """On what the images are shown."""

    display = serializers.DictField()

    def validate_display(self, display: dict[str, Any]) -> dict[str, Any]:
        """A description, not a store: limited in length, without NUL and halves of surrogate pairs, which PostgreSQL
        does not keep."""
        text = json.dumps(display, ensure_ascii=False)
        if len(text) > LONGEST_DISPLAY or "\\u0000" in text or not _is_text(text):
            raise serializers.ValidationError("Too long, or no text.")
        return display


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
