"""Where the application keeps its state on the embedded default: one ignored folder."""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent

LONGEST_SOCKET_PATH = 100
"""Unix socket paths are limited to about 107 bytes; deeper state folders put the socket elsewhere."""


def state_folder() -> Path:
    """The state folder (`READERSTUDY_STATE`, else `state/` in the repository); made if missing."""
    folder = Path(os.environ.get("READERSTUDY_STATE") or BASE_DIR / "state").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def broker_socket(folder: Path) -> Path:
    """Path of the embedded Valkey's unix socket; in a short folder of the system when the state folder is deep."""
    socket = folder / "run" / "valkey.sock"
    if len(str(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    short = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"readerstudy-{short}" / "valkey.sock"


def local_secret(folder: Path, name: str) -> str:
    """A secret made at the first start and kept in the state folder, readable by its owner alone."""
    path = folder / "secrets" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(secrets.token_urlsafe(50))
        temporary.chmod(0o600)
        try:
            os.link(temporary, path)  # two processes may start at once: the first one wins
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text()
