"""Discs and vertebral bodies of sagittal series: two 2D V-Nets, clean-up, names of levels."""
