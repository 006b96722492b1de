"""Distances of new conversations from what a model was trained on, and their bounds."""
