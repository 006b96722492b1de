"""Verbs about labels that people give."""
