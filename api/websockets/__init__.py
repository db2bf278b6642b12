"""The two WebSockets, and what they share: following a run's log until it ends or the client leaves."""
