"""Settings: `base` for all; `development` (embedded default), `testing`, `production` (everything from the environment)."""
