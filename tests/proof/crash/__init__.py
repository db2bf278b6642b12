"""The crash loop: a real server under load, killed again and again, and ten invariants on what it leaves behind.

`python -m tests.proof.crash --kills N --seed S`. The client outside knows what it asked for and what it was answered, because it
writes both down before anything else can happen (`record.py`); tools write their effects to a ledger of their own
(`crash_tools.py`); what runs come to is known beforehand (`programs.py`). After each series of kills `checks.py` compares them
with the journal.
"""
