"""Verbs of what is done by itself."""
