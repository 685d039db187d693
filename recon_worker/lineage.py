"""Which code and which libraries made a result. No time, no path of a machine: equal work has equal lineage."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

VERSION = "0.1.0"
"""Version of the recon worker, the same as in pyproject.toml."""

LIBRARIES = ("numpy", "scipy", "torch", "h5py", "ismrmrd", "twixtools", "pydicom", "highdicom")


@functools.cache
def code_version() -> dict[str, str]:
    """Name and version of this package, and the SHA-256 over the names and contents of its source files."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return {"name": "recon_worker", "version": VERSION, "source_sha256": digest.hexdigest()}


@functools.cache
def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that touch the numbers, without importing them."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def lineage(
    *, inputs: list[dict[str, Any]], parameters: dict[str, Any], outputs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The lineage of one job in the form of `docs/contracts/event.schema.json`."""
    return {
        "inputs": inputs,
        "parameters": parameters,
        "code": code_version(),
        "libraries": library_versions(),
        "outputs": outputs,
    }
