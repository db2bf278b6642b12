"""Repairing: which cells change, and a patch log that can be undone."""
