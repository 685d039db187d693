"""Users and login."""
