"""The append-only trail: one hash chain per study."""
