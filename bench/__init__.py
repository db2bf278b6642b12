"""Benches: how fast the engine and its server are, and whether what they did in that time was right. See `README.md`."""
