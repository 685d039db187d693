"""The presets that come with the application: `fixtures/presets/*.yaml`."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

from readerstudy.faults import Refusal
from readerstudy.studies.definition import StudyDefinition, definition_from_mapping


def preset_folder() -> Path:
    """Where presets lie."""
    return Path(settings.BASE_DIR) / "fixtures" / "presets"


class _EachKeyOnce(yaml.SafeLoader):
    """YAML keeps the last of two equal keys and says nothing; a preset says it."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise Refusal(f"The preset has the entry “{key}” twice in one place.", "Remove one of them.")
        return super().construct_mapping(node, deep)


def read_preset(path: Path) -> StudyDefinition:
    """The definition in a preset file. Raises Refusal that names the file and what is wrong in it."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_EachKeyOnce)
        definition = definition_from_mapping(content)
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"The preset {path.name} cannot be read.", "Check the file.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise Refusal(f"The preset {path.name} is not valid YAML{where}.", "Correct the file.") from error
    except Refusal as refusal:
        raise Refusal(f"{path.name}: {refusal.what}", refusal.action) from refusal
    if definition.preset != path.stem:
        raise Refusal(f"{path.name}: it calls itself “{definition.preset}”.", "Name file and preset alike.")
    return definition


@lru_cache(maxsize=16)
def _unchanged(path: Path, changed_at: int) -> StudyDefinition:
    return read_preset(path)


def preset(name: str) -> StudyDefinition:
    """The preset of this name. Raises Refusal when there is none."""
    path = preset_folder() / f"{name}.yaml"
    if not re.fullmatch(r"[a-z0-9-]{1,60}", name) or not path.is_file():
        raise Refusal(f"There is no preset “{name}”.", f"Known are {', '.join(preset_names())}.")
    return _unchanged(path, path.stat().st_mtime_ns)


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))
