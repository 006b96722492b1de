"""What speech recognisers return as JSON, told apart by its shape."""
