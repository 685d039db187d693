"""A simulated lumbar spine with known truth, scanned to ISMRMRD raw files (see docs/simulator.md)."""
