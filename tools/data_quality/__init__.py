"""Data quality: tools that profile, judge and repair a table in a loop, and the graph that runs them.

Built on Polars for columns and counts of pairs and on RapidFuzz for edit distances; every judgement is a plain function of the
data.
"""

from tools.data_quality.graph import get_data_quality_graph_definition
from tools.data_quality.steps import (
    apply_rules,
    generate_rules,
    identify_anomalies,
    profile_data,
    propose_repairs,
    report_quality,
)

__all__ = [
    "apply_rules",
    "generate_rules",
    "get_data_quality_graph_definition",
    "identify_anomalies",
    "profile_data",
    "propose_repairs",
    "report_quality",
]
