"""Published vectors as feature columns."""
