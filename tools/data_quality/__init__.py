"""Data quality: four tools that profile, judge and repair a table in a loop, and the graph that runs them.

Built on Polars for reading and writing files and on nothing else; every judgement is a plain function of the data.
"""

from tools.data_quality.graph import get_data_quality_graph_definition
from tools.data_quality.steps import apply_rules, generate_rules, identify_anomalies, profile_data

__all__ = ["apply_rules", "generate_rules", "get_data_quality_graph_definition", "identify_anomalies", "profile_data"]
