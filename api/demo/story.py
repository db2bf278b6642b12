"""What a run did, gathered from its records as they arrive: one line for each step, and what the report needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.demo import words
from api.demo.server import DemoFailed

Json = dict[str, Any]

_LOOP: Final = ("profile_data", "identify_anomalies", "generate_rules", "apply_rules")


@dataclass(frozen=True, slots=True)
class Line:
    """One line to show at once; `iteration` is None outside of the loop, `took` is empty for what is no step."""

    iteration: int | None
    node: str
    text: str
    took: str = ""
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work of a step is; replaced by the next one."""

    node: str
    text: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Question:
    """What the run asks a person: the id to answer by, and the question."""

    approval: str
    prompt: str


class Story:
    """Fed with every message of `/ws/monitor`, in order.

    Attributes:
        repeated_rows: Those that the first pass found, in the table as it came.
        proposals: What waits for approval, as `propose_repairs` wrote it, and `rules` by id.
    """

    def __init__(self) -> None:
        self.repeated_rows: list[int] | None = None
        self.proposals: Json = {"total": 0, "by_rule": []}
        self.rules: dict[str, Json] = {}
        self.status = ""
        self._failure = ""

    def hear(self, message: Json) -> Line | Progress | Question | None:
        """Take in one message; return what to show or do about it, if anything.

        Raises:
            DemoFailed: The server said that the run cannot be followed.
        """
        data: Json = message["data"]
        if message["type"] == "error":
            raise DemoFailed(f"The run cannot be followed: {data['message']}")
        if message["type"] == "complete":
            self.status = data["status"]
            return None
        return self._record(data)

    def check_ended_well(self) -> None:
        """Raise `DemoFailed` unless the run has completed and its first pass was seen."""
        if self.status != "completed":
            raise DemoFailed(f"The run ended as {self.status or 'nobody knows'}. {self._failure}".strip())
        if self.repeated_rows is None:
            raise DemoFailed("The run has completed, but its records do not tell what it has found.")

    def _record(self, record: Json) -> Line | Progress | Question | None:
        node = record.get("node", "")
        iteration = record.get("iteration") if node in _LOOP else None
        match record["event"]:
            case "step_completed":
                text = self._step(node, record["update"])
                return Line(iteration, node, text, words.duration(record["duration_ms"]))
            case "approval_requested":
                return Question(record["approval"], record["prompt"])
            case "loop_exhausted":
                return Line(iteration, node, "no more passes are allowed", is_warning=True)
            case "step_failed" | "run_failed" | "step_retrying":
                error = record.get("error")
                reason = error.get("message", error) if isinstance(error, Mapping) else error
                self._failure = f"{node or 'The run'}: {reason or record['event']}"
                return Line(iteration, node or record["event"], str(reason or record["event"]), is_warning=True)
            case "tool_log" if record["level"] in ("warning", "error"):
                return Line(iteration, node, record["message"], is_warning=True)
            case "tool_log" if "done" in (fields := record.get("fields", {})) and "total" in fields:
                return Progress(node, record["message"], fields["done"], fields["total"])
        return None

    def _step(self, node: str, update: Json) -> str:
        match node:
            case "profile_data":
                profile = update["profile"]
                size = f"{words.count(profile['rows'], 'row')}, {words.count(profile['columns'], 'column')}"
                depending = {entry["dependent"] for entry in profile["dependencies"]}
                return f"{size} ({len(depending)} determined)"
            case "identify_anomalies":
                found = update["anomalies"]
                if self.repeated_rows is None:
                    self.repeated_rows = [one["row"] for one in found["sample"] if one["column"] is None]
                most = f", {words.most_frequent(found['by_kind'])}" if found["total"] else ""
                return words.count(found["total"], "anomaly", "anomalies") + most
            case "generate_rules":
                repairing = sum(rule["repair"] is not None for rule in update["rules"])
                return f"{words.count(len(update['rules']), 'rule')}, {repairing} of them with a repair"
            case "apply_rules" | "apply_approved":
                changed = words.count(update["patch"]["total"], "cell") + " changed"
                return f"{changed}, {words.count(update['anomaly_count'], 'anomaly', 'anomalies')} left"
            case "propose_repairs":
                self.proposals = update["proposals"]
                self.rules = {rule["rule_id"]: rule for rule in update["rules"]}
                rules = words.count(len(self.proposals["by_rule"]), "rule")
                return f"{words.count(self.proposals['total'], 'repair')} by {rules} to be approved"
            case "review":
                return "answered"
            case "report_proposals" | "report_quality":
                return f"{words.count(len(update['artifacts']), 'file')} written"
            case _:
                return "done"
