"""How well the data quality tools find and repair errors whose truth is known, and how fast they are. See `README.md`."""
