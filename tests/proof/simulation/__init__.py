"""Deterministic simulation: whole engines, their disk, their clients and every fault in one process, from one seed.

The same seed gives the same run, record by record, so a failure can be looked at again and again:
`python -m tests.proof.simulation --first 4711 --seeds 1`.
"""
