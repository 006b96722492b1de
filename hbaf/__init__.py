"""Emotion recognition in conversations: HBAF (Luo et al. 2025, arXiv 2503.06405) and the pipeline around it."""

__version__ = "0.1.0"
