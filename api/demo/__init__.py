"""The demo: a real server, the Data Quality graph on a table with known errors, watched live and compared with the truth.

It is a client like any other: it knows the documented HTTP and WebSocket API and nothing of the engine. Invariant: what it
says was told by the server or counted in the files that the run left; no figure is written down here.
"""
