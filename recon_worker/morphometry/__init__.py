"""Measurements of segmented discs and vertebral bodies: heights, volumes, and which level is which between arms."""
