"""How hard Hypothesis tries. The same examples every time; `WORKFLOW_EXAMPLES=10` multiplies their number for a run by hand."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

_TIMES: Final = int(os.environ.get("WORKFLOW_EXAMPLES", "1"))
_QUIET: Final = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

thorough: Final = settings(
    max_examples=300 * _TIMES,
    derandomize=_TIMES == 1,
    deadline=None,
    database=None,
    suppress_health_check=_QUIET,
)
costly: Final = settings(thorough, max_examples=200 * _TIMES)
few: Final = settings(thorough, max_examples=25 * _TIMES)
