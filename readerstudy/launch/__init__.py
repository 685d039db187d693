"""Starts and supervises the whole application, and fills it with the demonstration studies."""
