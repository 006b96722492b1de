"""Extractors of the voice."""
