"""Raw audio and text -> vectors."""
