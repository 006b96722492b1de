"""Verbs that compare: systems, the paper's claims, the paper's whole set."""
