"""Settings: `base` for all; `development` (embedded default), `testing`, `production` (from the environment)."""
