"""Systems without published code: our reading of the papers."""
