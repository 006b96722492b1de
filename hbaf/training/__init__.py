"""Corpus + feature columns -> batches -> a trained model."""
