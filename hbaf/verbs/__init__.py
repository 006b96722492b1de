"""The verbs of `hbaf`, a file per noun: thin, over the same plain functions as the flows call."""
