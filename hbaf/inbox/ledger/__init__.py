"""What arrived and was published, in a database: its place, its states, what may become of what."""
