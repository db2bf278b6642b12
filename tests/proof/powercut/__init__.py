"""Cuts the power of a simulated disk again and again, and checks what the journal has after each cut."""
