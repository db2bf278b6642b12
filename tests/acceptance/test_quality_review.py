"""A person reviews the repairs of a table: what waits can be read in full before the answer, and is done after it."""

import csv
import io
from collections.abc import Callable

from tests.acceptance.server import ROOT, Server
from tools.data_quality import get_data_quality_graph_definition

FLIGHTS = ROOT / "tools" / "data_quality" / "demo" / "flights.csv"
TABLE = b"".join(FLIGHTS.read_bytes().splitlines(keepends=True)[:800])


def read(server: Server, run_id: str, name: str) -> list[dict[str, str]]:
    answer = server.client.get(f"/api/runs/{run_id}/artifacts/{name}").raise_for_status()
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_everything_that_waits_is_listed_before_the_answer_and_done_after_it(launch: Callable[..., Server]) -> None:
    server = launch()
    server.client.put("/api/datasets/flights.csv", content=TABLE).raise_for_status()
    graph_id = server.create(get_data_quality_graph_definition(review=True))
    run_id = server.submit(graph_id, {"dataset": {"path": "flights.csv"}})
    server.wait_event(run_id, "approval_requested")

    proposals = server.state(run_id)["current_state"]["proposals"]
    waiting = [one for one in read(server, run_id, "patch_all.csv") if one["tier"] == "suggest"]
    listed = {(one["rule_id"], one["row"], one["column"]) for one in waiting}
    examples = {
        (rule["rule_id"], str(one["row"]), one["column"]) for rule in proposals["by_rule"] for one in rule["examples"]
    }
    assert examples
    assert examples <= listed
    assert len(listed) >= proposals["total"] > len(examples)
    page = server.client.get(f"/api/runs/{run_id}/artifacts/report.html").text
    assert "What waits for approval" in page
    before = read(server, run_id, "repaired.csv")

    server.command(run_id, "answer", approval="review#1", answer={"approve": "all"})
    assert server.wait_ended(run_id)["status"] == "completed"
    after = read(server, run_id, "repaired.csv")
    changed = {
        (str(row), name)
        for row, (old, new) in enumerate(zip(before, after, strict=True))
        for name in old
        if old[name] != new[name]
    }
    assert changed
    assert changed <= {(row, column) for _, row, column in listed}
