"""The published result: its schema, and the places where it is kept."""
