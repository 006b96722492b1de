"""Extractors of the words."""
