"""Champion x new conversations -> predictions and a report."""
