"""A store of feature columns: immutable shards keyed by content. Knows nothing of emotion."""
