"""Rules as a data contract: Open Data Contract Standard 3.1.0 in YAML, the form that other tools convert from.

A rule becomes a library metric where one says exactly the same, else a query in DuckDB's SQL. The metrics of the standard
count all rows or count keys, while a rule with exceptions speaks of a share of the filled cells; such rules are queries.
Columns are declared as texts, as they stand in a file: a declared type would make a runner refuse the whole file for one
wrong cell, instead of counting it. What a column holds is in its `semanticType`, and a rule asks for it.

Source: https://github.com/bitol-io/open-data-contract-standard, schema of version 3.1.0.
Invariant: equal rules make equal bytes, and every rule is a quality check with its id or is listed in `rulesLeftOut`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final

from tools.data_quality.columns.study import Semantic
from tools.data_quality.exports.coverage import (
    Export,
    LeftOut,
    Unsupported,
    allowed_percent,
    as_records,
    check_usable,
    is_strict,
    left_out,
)
from tools.data_quality.exports.queries import violations
from tools.data_quality.exports.reading import Listed, Matching, Reading, cell_test, readings, tolerant
from tools.data_quality.exports.written import as_yaml
from tools.data_quality.rules.model import Rule, RuleType
from tools.data_quality.rules.words import rule_in_words

_FORMATS: Final = {".csv": "csv", ".parquet": "parquet", ".jsonl": "json"}
_DIMENSIONS: Final[Mapping[RuleType, str]] = {
    "placeholder": "completeness",
    "not_null": "completeness",
    "unique": "uniqueness",
    "key": "uniqueness",
    "duplicate_rows": "uniqueness",
    "dependency": "consistency",
    "merged": "consistency",
    "swapped": "consistency",
    "compare": "consistency",
    "range": "accuracy",
    "date_range": "accuracy",
    "location": "accuracy",
    "sign": "accuracy",
    "typo_map": "accuracy",
}


def to_odcs(
    rules: Sequence[Rule],
    columns: Mapping[str, Semantic],
    table: str,
    *,
    missing_words: Mapping[str, Sequence[str]] = MappingProxyType({}),
    data_path: str | None = None,
) -> Export:
    """Write the rules of a table as a whole contract.

    Args:
        rules: In any order; quality checks keep it.
        columns: What each column holds, in the order of the table.
        table: Name of the table.
        missing_words: For some columns, lower-case words that stand for "no value" and occur in it.
        data_path: A `.csv`, `.parquet` or `.jsonl` file to test against; becomes the one server of the contract.

    Raises:
        ValueError: `data_path` has another suffix.
    """
    read = readings(rules, columns, missing_words)
    of_column: dict[str, list[dict[str, Any]]] = {name: [] for name in columns}
    of_table: list[dict[str, Any]] = []
    missing: list[LeftOut] = []
    required: set[str] = set()
    for rule in rules:
        try:
            check_usable(rule, columns)
            check = _check(rule, table, read)
        except Unsupported as reason:
            missing.append(left_out(rule, str(reason)))
            continue
        (of_column[rule.columns[0]] if len(rule.columns) == 1 else of_table).append(check)
        if rule.type == "not_null" and is_strict(rule):
            required.add(rule.columns[0])
    properties = [_property(name, columns[name], name in required, of_column[name]) for name in columns]
    schema: dict[str, Any] = {"name": table, "logicalType": "object", "physicalType": "table", "properties": properties}
    schema |= {"quality": of_table} if of_table else {}
    contract: dict[str, Any] = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": _id_of(schema),
        "name": table,
        "version": "1.0.0",
        "status": "draft",
        **({"servers": [_server(data_path)]} if data_path is not None else {}),
        "schema": [schema],
        "customProperties": [
            {"property": "sqlDialect", "value": "duckdb"},
            {"property": "rulesLeftOut", "value": as_records(missing)},
        ],
    }
    return Export(as_yaml(contract), tuple(missing))


def _check(rule: Rule, table: str, read: Mapping[str, Reading]) -> dict[str, Any]:
    check: dict[str, Any] = {
        "id": "rule-" + re.sub(r"[^A-Za-z0-9_-]", "_", rule.rule_id),
        "name": f"{rule.type} {rule.rule_id}",
        "description": rule_in_words(rule),
        "dimension": _DIMENSIONS.get(rule.type, "conformity"),
        "severity": "error",
    }
    metric = _metric(rule, read)
    check |= metric or {"type": "sql", "query": violations(rule, table, read)}
    if is_strict(rule):
        check |= {"mustBe": 0, "unit": "rows"}
    else:
        check |= {"mustBeLessOrEqualTo": allowed_percent(rule), "unit": "percent"}
    measured = {"ruleId": rule.rule_id, "ruleType": rule.type, "mostly": rule.mostly, "support": rule.support}
    measured |= {"violations": rule.violations, "confidence": rule.confidence, "tier": rule.tier}
    check["customProperties"] = [{"property": name, "value": value} for name, value in measured.items()]
    return check


def _metric(rule: Rule, read: Mapping[str, Reading]) -> dict[str, Any] | None:
    """The library metric that says the same as the rule, or None."""
    if rule.type == "not_null":
        # All rows are judged, so a share of them means the same to both. An empty text is an empty cell, too.
        return {"type": "library", "metric": "missingValues", "arguments": {"missingValues": [""]}}
    if not is_strict(rule):
        return None
    is_tidy = all(read[name].is_tidy for name in rule.columns)
    if rule.type == "regex":
        test = cell_test(rule, read[rule.columns[0]])
        pattern = tolerant(test.pattern, read[rule.columns[0]]) if isinstance(test, Matching) else None
        return {"type": "library", "metric": "invalidValues", "arguments": {"pattern": pattern}}
    if rule.type == "set" and is_tidy:
        test = cell_test(rule, read[rule.columns[0]])
        values = list(test.values) if isinstance(test, Listed) else []
        return {"type": "library", "metric": "invalidValues", "arguments": {"validValues": values}}
    if rule.type == "unique" and is_tidy:
        return {"type": "library", "metric": "duplicateValues"}
    if rule.type == "key" and is_tidy and len(rule.columns) > 1:
        return {"type": "library", "metric": "duplicateValues", "arguments": {"properties": list(rule.columns)}}
    return None


def _property(name: str, semantic: Semantic, is_required: bool, quality: list[dict[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "logicalType": "string", "physicalType": "VARCHAR"}
    if is_required:
        entry["required"] = True
    if any(check.get("metric") == "duplicateValues" for check in quality):
        entry["unique"] = True
    if quality:
        entry["quality"] = quality
    return entry | {"customProperties": [{"property": "semanticType", "value": semantic}]}


def _server(path: str) -> dict[str, str]:
    suffix = PurePath(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{path!r} must end with one of {', '.join(_FORMATS)}")
    return {"server": "local", "type": "local", "path": path, "format": _FORMATS[suffix]}


def _id_of(content: Mapping[str, Any]) -> str:
    """A hash of what the contract says; where the data lies is no part of it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
