"""Removes an asked part of the noise of a complex image by a trained, calibrated network."""
