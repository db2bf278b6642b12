"""What a workflow is: its JSON shape, the verdict on it, and the plan that runs follow. Pure: no I/O, no clock."""
