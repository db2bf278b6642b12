"""Long proofs against the real server, each a program of its own with a short version for every run of the tests."""
