"""Pages for people: scored conversations as plain files."""
