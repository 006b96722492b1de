"""The bench: systems x seeds x corpora x representations, on the same batches, selection rule and budget."""
