"""What `python -m tools.data_quality` is made of, beside its options: where the files go, and what a person sees.

Invariant: nothing here judges or changes a table.
"""
