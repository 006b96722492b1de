"""Rules that a corpus must keep; great_expectations lives here and nowhere else."""
