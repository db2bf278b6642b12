import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _unsettled() -> Iterator[None]:
    """Undo what benches set for the whole process."""
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)
