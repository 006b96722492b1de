"""A trained model + utterance rows -> predictions."""
