"""How the threads of the worker wait for one another."""

import os
import subprocess
import sys


def test_threads_that_wait_sleep() -> None:
    """Two jobs on two cores must not burn each other's time: libgomp is told before torch loads it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY",)}
    shown = subprocess.run(
        [sys.executable, "-c", "import recon_worker.tasks, torch; torch.ones(4).sum()"],
        env={**environment, "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in shown.stdout + shown.stderr
