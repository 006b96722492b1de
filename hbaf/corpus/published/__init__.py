"""Features that others published, read without running anything of theirs."""
