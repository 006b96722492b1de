"""The example corpus: its words, its voices, and their synthesis."""
