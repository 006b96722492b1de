"""What every system must beat."""
