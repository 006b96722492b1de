"""Whether new conversations still look like those that a model was trained on, and whether it still does its work."""
