"""The demo: a real server, the Data Quality graph on a real table, watched live and told as a report.

It is a client like any other: it knows the documented HTTP and WebSocket API and nothing of the engine. Invariant: what it
reports was said by the server or read from the files the run left; the two are compared before anything is claimed.
"""
