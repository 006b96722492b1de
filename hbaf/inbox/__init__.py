"""What arrives for scheduled scoring, and what became of it."""
