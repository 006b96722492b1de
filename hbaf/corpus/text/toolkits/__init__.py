"""Corpora as the toolkits of speech recognition describe them: Kaldi, Lhotse, NeMo, EmoBox, and RTTM beside words."""
