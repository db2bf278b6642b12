"""Profiles: what a table holds, told in bounded JSON."""
