"""Which sources are scored by themselves, and how often."""
