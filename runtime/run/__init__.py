"""What happens in a run: records, state and the machine that decides. Pure: no await, no clock, no I/O."""
