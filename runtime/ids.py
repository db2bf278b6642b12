"""Names for things that are stored: ids are short, safe in a URL, and the graph's is its content."""

import hashlib
import uuid
from typing import Final

ID_PATTERN: Final = r"^[A-Za-z0-9._-]{1,128}$"


def graph_version(canonical: bytes) -> str:
    """Return the version of a graph: the SHA-256 of its canonical JSON, in hex."""
    return hashlib.sha256(canonical).hexdigest()


def graph_id(version: str) -> str:
    """Return the id of the graph with that version, so that storing a graph twice gives one graph."""
    return f"graph-{version[:20]}"


def new_run_id() -> str:
    """Return an id that no other run has."""
    return f"run-{uuid.uuid4().hex}"
