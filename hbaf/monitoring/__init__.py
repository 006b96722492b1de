"""Scored conversations held against their model's reference; how scoring is."""
