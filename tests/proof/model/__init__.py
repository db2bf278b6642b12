"""The engine against a small pure model of what its clients may rely on, over random sequences of operations."""
