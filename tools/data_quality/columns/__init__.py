"""Columns: how one cell is read, and what study of a column's distinct values says it holds."""
