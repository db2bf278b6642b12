"""Who may watch: the channel that a run's committed records go through, and the pipeline that shows them."""
