"""One reader per source of conversations."""
