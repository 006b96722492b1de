"""Sound as it comes: finding and decoding files, channels, measured facts."""
