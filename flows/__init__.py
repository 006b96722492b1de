"""Prefect flows: a screenful of verbs over plain functions."""
