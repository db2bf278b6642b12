"""The graphs that run the tools: in a loop until the table is clean, with or without a person's review at the end.

Invariant: plain JSON, ready to be sent to the server as it is.
"""

from typing import Any, Final

_STEPS: Final = ("profile_data", "identify_anomalies", "generate_rules", "apply_rules")
_REVIEW: Final = {
    "prompt": (
        "Shall the suggested repairs be made? The state's `proposals` lists them by rule, with examples; "
        "each of them stands in the artifacts `report.html` and `patch_all.csv` of the run, as tier 'suggest'."
    ),
    "answer_schema": {
        "type": "object",
        "properties": {
            "approve": {"anyOf": [{"enum": ["all", "none"]}, {"type": "array", "items": {"type": "string"}}]}
        },
        "required": ["approve"],
        "additionalProperties": False,
    },
    "into": "decision",
}


def get_data_quality_graph_definition(
    threshold: int = 5, max_iterations: int = 5, *, review: bool = False
) -> dict[str, Any]:
    """Return the graph: profile, identify, generate, apply, and again until the table is clean or nothing more helps.

    Args:
        threshold: The loop ends once `anomaly_count` is below this; or once a pass changes nothing or does not help.
        max_iterations: The loop ends after this many passes at the latest.
        review: Ask a person about the repairs that are not safe enough to be made without, and make those approved.
    """
    nodes: list[dict[str, Any]] = [
        {"name": name, "type": "loop" if name == _STEPS[-1] else "standard", "tool": name, "config": {}}
        for name in _STEPS
    ]
    edges: list[dict[str, Any]] = [
        {"from_node": source, "to_node": target}
        for source, target in zip(_STEPS, (*_STEPS[1:], _STEPS[0]), strict=True)
    ]
    before_report = _STEPS[-1]
    if review:
        nodes += [
            {"name": "propose_repairs", "tool": "propose_repairs", "config": {}},
            {"name": "report_proposals", "tool": "report_quality", "config": {}},
            {"name": "review", "type": "approval", "approval": _REVIEW},
            {"name": "apply_approved", "tool": "apply_rules", "config": {"mode": "approved"}},
        ]
        edges += [
            {"from_node": _STEPS[-1], "to_node": "propose_repairs"},
            {
                "from_node": "propose_repairs",
                "to_node": "report_proposals",
                "condition": {"field": "proposals.total", "operator": ">", "value": 0},
            },
            {"from_node": "propose_repairs", "to_node": "report_quality", "default": True},
            {"from_node": "report_proposals", "to_node": "review"},
            {"from_node": "review", "to_node": "apply_approved"},
        ]
        before_report = "apply_approved"
    nodes.append({"name": "report_quality", "tool": "report_quality", "config": {}})
    edges.append({"from_node": before_report, "to_node": "report_quality"})
    ends = [
        {"field": "anomaly_count", "operator": "<", "value": threshold},
        {"field": "settled", "operator": "==", "value": True},
    ]
    return {
        "name": "data_quality_pipeline" + ("_with_review" if review else ""),
        "description": "Profile a dataset, find its anomalies, derive rules and repair it, until nothing more helps.",
        "nodes": nodes,
        "edges": edges,
        "loops": [{"node": _STEPS[-1], "condition": {"any": ends}, "max_iterations": max_iterations}],
        "entry_point": _STEPS[0],
    }
