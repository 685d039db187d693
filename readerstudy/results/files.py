"""The results as files: JSON and CSV, the same from the web page and the command line."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from readerstudy.statistics.tables import MEASUREMENT_TABLE_COLUMNS, TABLE_COLUMNS, table_csv


def results_json(results: Mapping[str, Any]) -> str:
    """results.json: full precision, null = not estimable."""
    return json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def result_files(results: Mapping[str, Any]) -> dict[str, str]:
    """Text of every file of an analysis, by name."""
    return {
        "results.json": results_json(results),
        **{f"{name}.csv": table_csv(name, results[name]) for name in TABLE_COLUMNS},
        **{f"{name}.csv": table_csv(name, results[name]) for name in MEASUREMENT_TABLE_COLUMNS if results.get(name)},
    }


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts into a folder (made if missing), each under a temporary name first. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {folder / name: folder / f".{name}.{os.getpid()}.part" for name in texts}
    try:
        for final, part in temporary.items():
            part.write_text(texts[final.name], encoding="utf-8")
        for final, part in temporary.items():
            part.replace(final)
    finally:
        for part in temporary.values():
            part.unlink(missing_ok=True)
