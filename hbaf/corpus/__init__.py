"""What a conversation is, and where it comes from."""
