"""Walking back from a prediction, forgetting, and how long things are kept."""
