"""Transcripts and captions as people and tools write them."""
