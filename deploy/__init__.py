"""Small commands that run inside the containers."""
