"""Every test here also fails if the engine blocks the event loop."""

import pytest


@pytest.fixture(autouse=True)
def _never_blocks(unblocked: None) -> None:
    """See `unblocked`."""
