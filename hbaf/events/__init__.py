"""What a person, or another program, is told when something moves: promotions, quarantine, changed conversations."""
