"""Dependencies: which columns determine which, and what the rows that agree with a row say about it."""
