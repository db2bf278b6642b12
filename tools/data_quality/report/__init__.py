"""The report about a run: one HTML page, to be read without network, script or any other file.

Everything on it comes from an untrusted table, so the template escapes every value by itself, and a strict content
security policy forbids the browser all but the page's own style. Invariant: the same outcome gives the same bytes.
"""

from tools.data_quality.report.page import render

__all__ = ["render"]
