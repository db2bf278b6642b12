"""Rules: their model, the owner's policies about them, and their words."""
