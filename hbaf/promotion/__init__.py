"""Candidate against champion: rules, verdict, aliases, card."""
