"""What a run did, gathered from its records as they arrive: one line for each step, and numbers for each iteration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.demo import words
from api.demo.server import DemoFailed

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line to show at once; `took` is empty for what is no step."""

    iteration: int
    node: str
    text: str
    took: str = ""
    is_warning: bool = False


@dataclass(slots=True)
class Iteration:
    """What one pass of the loop saw and did; `found` and `left` are `{"total", "by_kind", "sample"}`."""

    number: int
    profile: Json = field(default_factory=dict)
    found: Json = field(default_factory=dict)
    found_score: float = 0.0
    rules: list[Json] = field(default_factory=list)
    patch: Json = field(default_factory=dict)
    left: Json = field(default_factory=dict)
    left_score: float = 0.0


class Story:
    """Fed with every message of `/ws/monitor`, in order."""

    def __init__(self) -> None:
        self.iterations: list[Iteration] = []
        self.exhausted: Json | None = None
        self.final_state: Json = {}
        self.duration_ms = 0.0
        self.status = ""
        self._failure = ""

    def hear(self, message: Json) -> Line | None:
        """Take in one message; return the line to show for it, if it is worth one.

        Raises:
            DemoFailed: The server said that the run cannot be followed.
        """
        data: Json = message["data"]
        if message["type"] == "error":
            raise DemoFailed(f"The run cannot be followed: {data['message']}")
        if message["type"] == "complete":
            self.status, self.final_state = data["status"], data["final_state"]
            return None
        return self._record(data)

    def check_ended_well(self) -> None:
        """Raise `DemoFailed` unless the run has completed and every iteration was seen whole."""
        if self.status != "completed":
            raise DemoFailed(f"The run ended as {self.status or 'nobody knows'}. {self._failure}".strip())
        if not self.iterations or not all(one.found and one.left for one in self.iterations):
            raise DemoFailed("The run has completed, but its records do not tell of all four steps.")

    @property
    def rules(self) -> list[Json]:
        """The rules of the first iteration, which saw the data as it came."""
        return self.iterations[0].rules

    @property
    def changes(self) -> list[Json]:
        """Every change that the records show, with the rule that demanded it under `rule`."""
        changes: list[Json] = []
        for iteration in self.iterations:
            by_id = {rule["rule_id"]: rule for rule in iteration.rules}
            changes += [change | {"rule": by_id.get(change["rule_id"])} for change in iteration.patch["sample"]]
        return changes

    @property
    def change_count(self) -> int:
        return sum(iteration.patch["total"] for iteration in self.iterations)

    @property
    def left(self) -> Json:
        """The anomalies after the last iteration."""
        return self.iterations[-1].left

    def _record(self, record: Json) -> Line | None:
        node, iteration = record.get("node", ""), record.get("iteration", 0)
        match record["event"]:
            case "step_completed":
                text = self._step(node, iteration, record["update"])
                return Line(iteration, node, text, words.duration(record["duration_ms"]))
            case "loop_exhausted":
                self.exhausted = record
                left = words.count(self.left["total"], "anomaly is", "anomalies are")
                return Line(iteration, "loop_exhausted", f"{left} left: this needs a person", is_warning=True)
            case "step_failed" | "run_failed" | "step_retrying":
                error = record.get("error")
                reason = error.get("message", error) if isinstance(error, Mapping) else error
                self._failure = f"{node or 'The run'}: {reason or record['event']}"
                return Line(iteration, node or record["event"], str(reason or record["event"]), is_warning=True)
            case "run_completed":
                self.duration_ms = record["duration_ms"]
            case "tool_log" if record["level"] in ("warning", "error"):
                return Line(iteration, node, record["message"], is_warning=True)
        return None

    def _step(self, node: str, number: int, update: Json) -> str:
        if not self.iterations or self.iterations[-1].number != number:
            self.iterations.append(Iteration(number))
        iteration = self.iterations[-1]
        match node:
            case "profile_data":
                iteration.profile = profile = update["profile"]
                repeated = words.count(profile["duplicate_rows"], "repeated row") if profile["duplicate_rows"] else ""
                size = f"{words.count(profile['rows'], 'row')}, {words.count(profile['columns'], 'column')}"
                return f"{size}, {repeated or 'no repeated rows'}"
            case "identify_anomalies":
                iteration.found, iteration.found_score = update["anomalies"], update["quality_score"]
                return _anomalies(iteration.found)
            case "generate_rules":
                iteration.rules = update["rules"]
                repairing = sum(rule["repair"] is not None for rule in iteration.rules)
                return f"{words.count(len(iteration.rules), 'rule')}, {repairing} of them with a repair"
            case "apply_rules":
                iteration.patch, iteration.left = update["patch"], update["anomalies"]
                iteration.left_score = update["quality_score"]
                changed = words.count(iteration.patch["total"], "cell") + " changed"
                left = words.count(iteration.left["total"], "anomaly", "anomalies")
                return f"{changed}, {left} left"
            case _:
                return "done"


def _anomalies(report: Json) -> str:
    total = words.count(report["total"], "anomaly", "anomalies")
    return f"{total}: {words.kinds(report['by_kind'])}" if report["total"] else "no anomalies"
