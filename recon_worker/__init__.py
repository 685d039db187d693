"""The reconstruction worker: raw k-space in, blinded DICOM and frames out. Knows no reader and no database."""

import os

# Read when torch loads its thread pool, so it is said here, before any module can import torch: threads that wait for
# one another sleep. Spinning, two jobs on two cores took thirteen times as long as one after the other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
