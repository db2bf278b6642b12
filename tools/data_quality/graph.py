"""The graph that runs the four tools in a loop until few anomalies are left.

Invariant: plain JSON, ready to be sent to the server as it is.
"""

from typing import Any


def get_data_quality_graph_definition(threshold: int = 5, max_iterations: int = 5) -> dict[str, Any]:
    """Return the graph: profile, identify, generate, apply, and again while `threshold` or more anomalies are left.

    Args:
        threshold: The loop ends once `anomaly_count` is below this.
        max_iterations: The loop ends after this many passes at the latest.
    """
    steps = ("profile_data", "identify_anomalies", "generate_rules", "apply_rules")
    nodes: list[dict[str, Any]] = [
        {"name": name, "type": "loop" if name == steps[-1] else "standard", "tool": name, "config": {}}
        for name in steps
    ]
    edges = [
        {"from_node": source, "to_node": target} for source, target in zip(steps, (*steps[1:], steps[0]), strict=True)
    ]
    condition = {"field": "anomaly_count", "operator": "<", "value": threshold}
    return {
        "name": "data_quality_pipeline",
        "description": "Profile a dataset, find its anomalies, derive rules and repair it, until few anomalies are left.",
        "nodes": nodes,
        "edges": edges,
        "loops": [{"node": steps[-1], "condition": condition, "max_iterations": max_iterations}],
        "entry_point": steps[0],
    }
