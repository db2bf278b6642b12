"""Rules, kinds of anomalies and amounts, in the words of a reader."""

from collections.abc import Mapping
from typing import Any, Final

_KINDS: Final = {
    "missing": ("empty cell", "empty cells"),
    "placeholder": ("placeholder", "placeholders"),
    "wrong_type": ("value of another type", "values of another type"),
    "format": ("value of another format", "values of another format"),
    "outlier": ("outlier", "outliers"),
    "duplicate_row": ("repeated row", "repeated rows"),
}
_REPAIRS: Final = {
    "set_null": "emptied",
    "trim": "trimmed",
    "plain_number": "written plainly",
    "fill": "filled with {value}",
    "clip": "moved to the nearer limit",
    "drop_row": "row removed",
}
_SHOWN_VALUES: Final = 9


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 row`, `1,458 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def kind(name: str, number: int = 1) -> str:
    """Return the name of a kind of anomaly, for one or many."""
    one, many = _KINDS.get(name, (name, name))
    return one if number == 1 else many


def kinds(by_kind: Mapping[str, int]) -> str:
    """Return `6 outliers, 3 placeholders`."""
    return ", ".join(f"{number:,} {kind(name, number)}" for name, number in by_kind.items())


def duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def shown(value: object) -> str:
    """Return a value of a cell as it may stand in a sentence or a table."""
    return "(empty)" if value is None or value == "" else str(value)


def rule(one: Mapping[str, Any]) -> str:
    """Return what a rule demands, without naming its column."""
    params = one["params"]
    match one["type"]:
        case "placeholder":
            words = ", ".join(f'"{word}"' for word in params["words"])
            return f"{words} (in any case) stands for a missing value"
        case "trimmed":
            return "no white space at either end"
        case "plain_number":
            return "numbers without separators or signs of currency"
        case "type":
            return {"integer": "a whole number", "decimal": "a number"}.get(params["type"], f"a {params['type']}")
        case "not_null":
            return "never empty"
        case "range":
            return f"from {params['min']:g} to {params['max']:g}"
        case "format":
            return f"looks like {params['shape']}"
        case "allowed_values":
            values = params["values"]
            more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
            return f"one of {', '.join(values[:_SHOWN_VALUES])}{more}"
        case "unique":
            return "no value twice"
        case "unique_rows":
            return "no two rows are equal"
        case unknown:
            return str(unknown)


def repair(one: Mapping[str, Any]) -> str:
    """Return what is done to a value that breaks the rule."""
    action = one["repair"]
    if action is None:
        return "reported only"
    name = str(action["action"])
    return _REPAIRS.get(name, name).format(value=action["value"])
